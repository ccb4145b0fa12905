"""Plots and saliency maps, as PNG."""
