"""QQ: a bot of one's own on QQ's open platform, in direct chats and groups."""
