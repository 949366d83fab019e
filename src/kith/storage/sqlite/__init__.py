"""The embedded backend: one encrypted file."""
