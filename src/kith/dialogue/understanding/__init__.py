"""What a short text is like: made equal, matched with phrases, classified."""
