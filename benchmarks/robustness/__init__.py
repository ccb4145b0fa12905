"""Robustness: kills, full disks, damaged models, hostile input, long runs."""
