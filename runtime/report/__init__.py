"""The report of a night: one self-contained HTML page."""
