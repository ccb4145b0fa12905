"""Latency, accuracy on labelled sets, and the comparison of machines."""
