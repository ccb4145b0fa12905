"""Export of trained networks: convert, check by gates, measure and write as a bundle."""
