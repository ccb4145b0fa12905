"""Accuracy on labelled sets, and tables of the results."""
