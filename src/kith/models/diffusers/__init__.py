"""Pictures from words, through Diffusers."""
