"""Engines, the detector and the classifier."""
