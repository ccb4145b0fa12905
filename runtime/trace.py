"""``--profile``: every span of every frame as a trace that Perfetto and chrome://tracing open.

The format is the Trace Event Format: complete events ("ph": "X") in microseconds, one row a thread.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TextIO

from .errors import RunFailure, UsageError
from .timing import Span


class TraceFile:
    """A trace, written as the run goes; what is there after a power cut opens too, since the last bracket is optional.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads: set[int] = set()
        try:
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as problem:
            raise UsageError(f"the trace {path} cannot be written: {problem.strerror}") from None
        self._file.write("[")
        self._between = "\n"

    def frame(self, number: int, spans: list[Span]) -> None:
        """Write the spans of a frame."""
        for span in spans:
            if span.thread not in self._threads:
                self._threads.add(span.thread)
                self._event({"ph": "M", "name": "thread_name", "tid": span.thread, "args": {"name": span.stage}})
            begin, length = round(span.begin * 1e6, 1), round((span.end - span.begin) * 1e6, 1)
            self._event({
                "ph": "X", "name": span.stage, "cat": "frame", "tid": span.thread, "ts": begin, "dur": length,
                "args": {"frame": number},
            })

    def close(self) -> None:
        """End the trace."""
        with self._file as file:
            file.write("\n]\n")

    def _event(self, event: dict[str, object]) -> None:
        try:
            self._file.write(self._between + json.dumps({"pid": os.getpid(), **event}))
        except OSError as problem:
            raise RunFailure(f"the trace {self._path} cannot be written: {problem.strerror}") from None
        self._between = ",\n"
