"""Observations of one object, joined over frames."""
