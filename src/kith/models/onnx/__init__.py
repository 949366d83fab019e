"""Encoders in ONNX files: vectors, labels and scores."""
