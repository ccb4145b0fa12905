"""Labelled image sets: samples, catalogues, archives, splits, near duplicates, crops."""
