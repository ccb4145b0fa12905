"""Labelled image sets: reading, splitting, cropping, finding duplicates."""
