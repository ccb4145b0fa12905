"""Accuracy on labelled sets, and the tables made of it."""
