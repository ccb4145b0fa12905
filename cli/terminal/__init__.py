"""Output of commands on a terminal: progress, messages."""
