"""What commands print on a terminal: progress, messages."""
