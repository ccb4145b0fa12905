"""galaxy-edge: find and name galaxies on small computers at telescopes."""

__version__ = "0.1.0"
