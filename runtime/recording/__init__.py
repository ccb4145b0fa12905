"""What a run writes to its output folder."""
