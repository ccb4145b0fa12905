"""Plate solvers: one file for each, and a table."""
