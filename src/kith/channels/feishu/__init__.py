"""Feishu, outside China called Lark: an app's bot, over the long connection or with event calls."""
