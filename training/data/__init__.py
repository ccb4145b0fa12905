"""Labelled image sets: samples, archives, splits, crops."""
