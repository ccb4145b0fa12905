"""Augmented training views of galaxies: geometry, levels, other telescopes."""
