"""The state of a run: statistics, health, controls, terminal and window."""
