"""Attacks on promises, one a module; see `robustness.attack`."""
