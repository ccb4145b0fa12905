"""Tables of an output folder that grow during a run."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class RunTables:
    """The CSV files to which one part of a run appends.

    A failure is logged once and ends them for the run: detection continues.

    Args:
        folder: the output folder; None to write nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def append(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows to a table, whose first line has the names of its columns.

        Args:
            name: of the file in the folder.
            rows: of the same columns, which those in the file have too.
        """
        if self._folder is None or not rows:
            return
        path = self._folder / name
        try:
            with path.open("a", encoding="utf-8", newline="") as table:
                writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
                if not table.tell():
                    writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            logger.warning("%s cannot be written: %s", path, error.strerror)
            self._folder = None
