"""Attacks on the stacking of frames."""
