"""Attacks with labels from other systems."""
