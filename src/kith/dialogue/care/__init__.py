"""Danger, feelings, and what is done about them."""
