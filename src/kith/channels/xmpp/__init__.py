"""XMPP (Jabber): one address, in private and in rooms."""
