"""Catalogues of objects on the sky: OpenNGC, and tables of users."""
