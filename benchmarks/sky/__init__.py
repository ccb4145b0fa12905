"""Measurements of positions, names and depth on the sky."""
