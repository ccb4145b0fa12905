"""Measurements: accuracy on labelled sets, latency and throughput, robustness."""
