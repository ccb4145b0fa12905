"""Write every span of every frame as a trace for Perfetto (``--profile``).

chrome://tracing opens it too.

The format is the Trace Event Format: complete events ("ph": "X") in microseconds, one row per thread.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from ...errors import UsageError
from ..timing import Span

logger = logging.getLogger(__name__)


class TraceFile:
    """A trace that is written during the run.

    After a power cut it opens too, since the last bracket is optional.

    If it can no longer be written, e.g. on a full disk, one warning reports it and the run continues without it.

    Args:
        path: the file; an existing one is replaced with the first frame, since a run may fail before it.

    Raises:
        UsageError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_lost = self._has_begun = False
        self._threads: set[int] = set()
        try:
            self._file: TextIO = path.open("a", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"the trace {path} cannot be written: {error.strerror}") from None
        self._separator = "[\n"

    def frame(self, number: int, spans: list[Span]) -> None:
        """Write the spans of a frame."""
        for span in spans:
            if span.thread not in self._threads:
                self._threads.add(span.thread)
                self._event({"ph": "M", "name": "thread_name", "tid": span.thread, "args": {"name": span.stage}})
            self._event(
                {
                    "ph": "X",
                    "name": span.stage,
                    "cat": "frame",
                    "tid": span.thread,
                    "ts": round(span.begin * 1e6, 1),
                    "dur": round((span.end - span.begin) * 1e6, 1),
                    "args": {"frame": number},
                }
            )

    def close(self) -> None:
        """End the trace."""
        self._write("\n]\n" if self._has_begun else "[\n]\n", last=True)

    def _event(self, event: dict[str, object]) -> None:
        self._write(self._separator + json.dumps({"pid": os.getpid(), **event}))
        self._separator = ",\n"

    def _write(self, text: str, last: bool = False) -> None:
        if self._is_lost:
            return
        try:
            if not self._has_begun and self._path.is_file():  # a pipe has nothing to truncate
                self._file.truncate(0)
            self._has_begun = True
            self._file.write(text)
            if last:
                self._file.close()
        except OSError as error:
            self._is_lost = True
            logger.warning("the trace %s can no longer be written: %s; the run continues", self._path, error.strerror)
            with suppress(OSError):  # what is still buffered cannot be written either
                self._file.close()
