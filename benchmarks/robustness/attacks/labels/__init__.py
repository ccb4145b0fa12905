"""Attacks with labels of other systems."""
