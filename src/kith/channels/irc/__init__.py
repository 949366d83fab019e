"""Internet Relay Chat: one nick on one network, in private and in channels."""
