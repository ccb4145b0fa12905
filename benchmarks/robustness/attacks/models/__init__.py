"""Attacks with models of unknown origin."""
