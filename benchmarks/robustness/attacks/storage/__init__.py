"""Attacks on storage: the event file, crops, the disk, the output folder."""
