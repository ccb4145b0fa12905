"""Checks of this installation and computer, one module for each subject."""
