"""Safetensors models through Transformers: what no faster backend runs."""
