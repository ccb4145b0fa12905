"""The loop: stages, threads, sinks."""
