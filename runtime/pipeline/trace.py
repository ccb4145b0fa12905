"""``--profile``: every span of every frame as a trace that Perfetto and chrome://tracing open.

The format is the Trace Event Format: complete events ("ph": "X") in microseconds, one row a thread.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from ...errors import UsageError
from ..timing import Span


class TraceFile:
    """A trace, written as the run goes; what is there after a power cut opens too, since the last bracket is optional.

    Args:
        path: the file; one that is there is replaced with the first frame, since a run may fail before it.
        alert: told once where it cannot be written any more, as on a full disk; the run goes on without it.

    Raises:
        UsageError: the file cannot be opened.
    """

    def __init__(self, path: Path, alert: Callable[[str], None]) -> None:
        self._path = path
        self._alert = alert
        self._lost = self._begun = False
        self._threads: set[int] = set()
        try:
            self._file: TextIO = path.open("a", encoding="utf-8")
        except OSError as problem:
            raise UsageError(f"the trace {path} cannot be written: {problem.strerror}") from None
        self._between = "[\n"

    def frame(self, number: int, spans: list[Span]) -> None:
        """Write the spans of a frame."""
        for span in spans:
            if span.thread not in self._threads:
                self._threads.add(span.thread)
                self._event({"ph": "M", "name": "thread_name", "tid": span.thread, "args": {"name": span.stage}})
            begin, length = round(span.begin * 1e6, 1), round((span.end - span.begin) * 1e6, 1)
            self._event(
                {
                    "ph": "X",
                    "name": span.stage,
                    "cat": "frame",
                    "tid": span.thread,
                    "ts": begin,
                    "dur": length,
                    "args": {"frame": number},
                }
            )

    def close(self) -> None:
        """End the trace."""
        self._write("\n]\n" if self._begun else "[\n]\n", last=True)

    def _event(self, event: dict[str, object]) -> None:
        self._write(self._between + json.dumps({"pid": os.getpid(), **event}))
        self._between = ",\n"

    def _write(self, text: str, last: bool = False) -> None:
        if self._lost:
            return
        try:
            if not self._begun and self._path.is_file():  # a pipe has nothing to empty
                self._file.truncate(0)
            self._begun = True
            self._file.write(text)
            if last:
                self._file.close()
        except OSError as problem:
            self._lost = True
            self._alert(f"the trace {self._path} cannot be written any more: {problem.strerror}; the run goes on")
            with suppress(OSError):  # what it still holds cannot be written either
                self._file.close()
