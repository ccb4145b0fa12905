"""Measurements of positions and names on the sky, on simulated fields and real frames."""
