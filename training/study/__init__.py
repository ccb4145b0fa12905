"""Comparisons of recipes, folds and ensembles."""
