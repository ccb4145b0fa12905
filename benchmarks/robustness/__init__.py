"""Robustness: killed processes, full disks, damaged models, hostile input, long runs."""
