"""E-mail: a mailbox over IMAP, replies over SMTP."""
