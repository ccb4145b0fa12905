"""Simulated nights: frames of real stars and galaxies as a telescope writes them, with a table of the truth."""
