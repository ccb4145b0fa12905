"""Recipes and data of a study that is small enough for a test."""

from dataclasses import replace

from galaxy_edge.training.classifier.recipe import RECIPES

PLAIN = replace(RECIPES["simple"], size=32, batch=32, epochs=1, views="turned")
FULL = replace(PLAIN, balance="full")
NAMES = ("edge_on_thin", "smooth_any", "spiral_any")
"""Three classes, each of another coarse group, so that few images fill every part of a split."""
