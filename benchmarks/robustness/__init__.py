"""Faults: killed processes, full disks, damaged models, long runs."""
