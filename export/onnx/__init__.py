"""Conversion to ONNX and its quantisation."""
