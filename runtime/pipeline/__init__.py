"""The frame loop: its stages, the threads they run in, and the sinks that take the results."""
