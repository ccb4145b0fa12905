"""Checks of this installation and computer; each module holds those of one subject."""
