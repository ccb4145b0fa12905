"""Develop raw exposures to the 8-bit images that the networks take.

The steps are Bayer patterns, sky and stretch.
"""
