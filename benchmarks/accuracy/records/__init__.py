"""The results of evaluations as records."""
