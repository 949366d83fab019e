"""The shipped fake."""
