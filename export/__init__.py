"""Export trained networks: convert, run the gates, measure, and write a bundle."""
