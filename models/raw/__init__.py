"""From a raw exposure to the 8-bit image that the networks see: Bayer patterns, sky, one stretch."""
