"""A WeChat official account: sealed callbacks in, customer-service messages or the answer to the call out."""
