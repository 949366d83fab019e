"""A company's own app in WeCom (Enterprise WeChat): sealed callbacks in, the message API out."""
