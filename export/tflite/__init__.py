"""Conversion to TensorFlow Lite, quantisation, and reading and editing of its files."""
