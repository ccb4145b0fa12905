"""Develop raw exposures to the 8-bit images that the networks take: Bayer patterns, sky, stretch."""
