"""The live page, the JSON API and the metrics of a run."""
