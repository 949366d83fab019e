"""iLink: a bot beside one's own personal WeChat, over Tencent's HTTP API for bots."""
