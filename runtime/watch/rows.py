"""Candidates as rows of the event file."""

from __future__ import annotations

import math

from ...sky.differencing.candidate import Candidate
from ..events.candidates import CandidateRow
from ..system.utc_time import utc_text
from .files import FOLDER


def candidate_row(candidate: Candidate, run: int, reference: str) -> CandidateRow:
    """Return the row of a candidate.

    Args:
        candidate: of a field.
        run: number of the run.
        reference: file name of the reference.
    """
    name = f"{utc_text(candidate.first_time)[:10].replace('-', '')}-{run:04d}-{candidate.number:02d}-"
    name += "".join(letter for letter in candidate.offset.galaxy if letter.isalnum())[:20]
    return CandidateRow(
        id=name, run=run, first_time=utc_text(candidate.first_time), last_time=utc_text(candidate.last_time),
        ra=round(candidate.ra, 6), dec=round(candidate.dec, 6), position_error=round(candidate.position_error, 2),
        magnitude=round(candidate.magnitude, 3), magnitude_error=round(candidate.magnitude_error, 3),
        galaxy=candidate.offset.galaxy, offset_east=round(candidate.offset.east, 1),
        offset_north=round(candidate.offset.north, 1), sightings=candidate.sightings, stacks=candidate.stacks,
        signal=round(candidate.signal, 1), limiting_magnitude=round(candidate.limit, 2),
        recovered=None if math.isnan(candidate.recovered) else round(candidate.recovered, 3),
        reference=reference, folder=f"{FOLDER}/{name}",
    )  # fmt: skip
