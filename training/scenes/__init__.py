"""Composed scenes that the detector is trained and measured on."""
