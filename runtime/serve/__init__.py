"""The live view: a page, a JSON API and figures for Prometheus, for a run that goes on. Needs the extra ``serve``."""
