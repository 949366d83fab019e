"""The shipped fake: what a person would have seen is a file, what a person says comes from a socket or a call."""
