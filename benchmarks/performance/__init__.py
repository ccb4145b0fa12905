"""Latency, throughput and the comparison of machines."""
