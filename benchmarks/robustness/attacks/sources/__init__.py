"""Attacks on cameras, streams, clocks and brokers."""
