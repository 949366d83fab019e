"""Dialogue by rule: the file that anybody can write, what a message means by it, and where a conversation stands."""
