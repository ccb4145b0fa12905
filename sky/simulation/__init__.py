"""Simulated nights: raw frames of real stars and galaxies, with their truth."""
