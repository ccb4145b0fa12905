"""Attacks on what is stored: the event file, crops, the disk, the output folder."""
