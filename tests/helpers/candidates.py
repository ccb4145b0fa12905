"""A row of the table of candidates."""

from galaxy_edge.runtime.events.candidates import CandidateRow


def candidate(name, **values):
    """Return a candidate near M 94."""
    figures = {
        "run": 1, "first_time": "2026-11-28T22:00:00Z", "last_time": "2026-11-28T22:10:00Z", "ra": 192.72,
        "dec": 41.12, "position_error": 0.5, "magnitude": 13.5, "magnitude_error": 0.1, "galaxy": "M 94",
        "offset_east": 20.0, "offset_north": -5.0, "sightings": 3, "stacks": 3, "signal": 12.0,
        "limiting_magnitude": 15.0, "recovered": 0.9, "reference": "M-94.fits", "folder": f"candidates/{name}",
    }  # fmt: skip
    return CandidateRow(id=name, **{**figures, **values})
