"""Attacks on secrets, the live page, models and bundles."""
