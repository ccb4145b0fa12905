"""The frame loop: its stages, their threads, and the sinks of its results."""
