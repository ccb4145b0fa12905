"""Name the candidates of a run, write their rows and files, and pass them on."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ...sky.angles import separation
from ...sky.differencing.candidate import Candidate
from ..events.candidates import CandidateRow, save_candidate
from ..recording.retention import FLOOR, free_bytes
from .files import FOLDER, candidate_image, write_candidate
from .references import Reference
from .rows import candidate_row

logger = logging.getLogger(__name__)

Listener = Callable[[CandidateRow, bytes, bool], None]
"""Takes a candidate, its cut-outs as JPEG, and whether it is new or was seen again."""
MAX_CANDIDATES = 20
"""Maximum number of candidates of a field and a run; with more, the comparison is at fault."""
MAX_FOLDERS = 500
"""Maximum number of candidates in an output folder that have files, of about 0.2 MB each."""
_SAME = 2.0
"""Distance in pixels of the reference within which two candidates are the same."""


class _Known(NamedTuple):
    reference: str
    ra: float
    dec: float
    number: int


class CandidateStore:
    """The candidates of a run.

    Args:
        folder: the output folder; run: number of the run.
        floor: bytes of the disk that stay free.
        listeners: take each candidate that is stored.
    """

    def __init__(self, folder: Path, run: int, floor: int = FLOOR, listeners: tuple[Listener, ...] = ()) -> None:
        self._folder, self._run, self._floor, self._listeners = folder, run, floor, listeners
        self._known: list[_Known] = []
        self._said: set[str] = set()

    def save(self, candidate: Candidate, reference: Reference) -> str:
        """Store a candidate that is new or was seen again.

        Returns:
            Why something of it is not stored; "" if all is.

        Raises:
            OSError: its files cannot be written.
            sqlite3.Error: its row cannot be written.
        """
        number = self._number(candidate, reference)
        if not number:
            return f"more than {MAX_CANDIDATES} candidates near {reference.name}: the reference may not fit"
        row = candidate_row(dataclasses.replace(candidate, number=number), self._run, reference.path.name)
        is_new = row.id not in self._said
        save_candidate(self._folder / "events.sqlite", row)
        self._said.add(row.id)
        problem = self._why_no_files(row)
        if is_new:
            logger.warning(
                "candidate %s near %s, magnitude %.1f: please check it, see %s", row.id, row.galaxy, row.magnitude,
                f"galaxy-edge events candidates {row.id}" if problem else self._folder / row.folder / "report.txt",
            )  # fmt: skip
        for listener in self._listeners:
            listener(row, candidate_image(candidate.cutouts), is_new)
        if not problem:
            write_candidate(self._folder, row, candidate)
        return problem

    def _number(self, candidate: Candidate, reference: Reference) -> int:
        """Return the number of a candidate in its run; 0 for one too many.

        A field may be opened again, and then counts its candidates from 1.
        """
        known = [item for item in self._known if item.reference == reference.path.name]
        for item in known:
            distance = float(separation(item.ra, item.dec, candidate.ra, candidate.dec)) * 3600
            if distance < _SAME * reference.wcs.scale:
                return item.number
        if len(known) >= MAX_CANDIDATES:
            return 0
        self._known.append(_Known(reference.path.name, candidate.ra, candidate.dec, len(self._known) + 1))
        return len(self._known)

    def _why_no_files(self, row: CandidateRow) -> str:
        if free_bytes(self._folder) < self._floor:
            return "cut-outs of candidates are not written: the disk is below its floor of free space"
        folder = self._folder / FOLDER
        if (self._folder / row.folder).is_dir() or not folder.is_dir():
            return ""
        if sum(1 for _ in folder.iterdir()) < MAX_FOLDERS:
            return ""
        return f"cut-outs of candidates are not written: '{folder}' has {MAX_FOLDERS}; delete those that are checked"
