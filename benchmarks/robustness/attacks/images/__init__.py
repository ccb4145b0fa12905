"""Attacks on images, their memory, their headers, and the sky in them."""
