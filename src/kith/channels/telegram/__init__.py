"""Telegram: a bot of one's own, through the Bot API."""
