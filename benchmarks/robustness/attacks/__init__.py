"""Attacks on promises, one per module; see `robustness.attack`."""
