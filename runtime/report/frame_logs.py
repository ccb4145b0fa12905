"""Read the frames of a night from the frame logs of an output folder.

Every line is counted; the JSON of a sample is decoded, so that a log of a long night costs about a second.
"""

from __future__ import annotations

import datetime
import itertools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SAMPLED_BYTES = 4 << 20
"""About how many bytes of the lines are decoded."""
GAP_SECONDS = 120.0
"""Time without a frame that is reported."""
_TIME = b'"time": "'
_LOG = re.compile(r"frames-(\d+)(?:-\d+)?\.jsonl")


@dataclass
class LoggedFrames:
    """The frames of a night.

    Attributes:
        count: number of frames.
        first, last: times of the first and last, UTC, ISO 8601; "" without frames.
        gaps: times between which no frame came for more than `GAP_SECONDS`.
        clock_steps: seconds by which the clock was set, in the order in which that happened.
        lost: numbers of events, images and lines that the runs have lost.
        runs: numbers of the runs that they are of.
        samples: records of frames, evenly spread, in the order of their time.
    """

    count: int = 0
    first: str = ""
    last: str = ""
    gaps: list[tuple[str, str]] = field(default_factory=list)
    clock_steps: list[float] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    runs: set[int] = field(default_factory=set)
    samples: list[dict[str, Any]] = field(default_factory=list)


def log_paths(folder: Path) -> list[Path]:
    """Return the frame logs of a folder, in the order in which they were written."""
    return sorted(path for path in folder.glob("frames-*.jsonl") if _LOG.fullmatch(path.name))


def last_logged_time(folder: Path) -> str | None:
    """Return the latest time in the last run with frames, None without frames.

    It is not always that of the last frame: the images of a folder may be of several nights, in any order.
    """
    for _, paths in itertools.groupby(reversed(log_paths(folder)), _run_of):
        if latest := max((time for path in paths for time in _times(path)), default=""):
            return latest
    return None


def _run_of(path: Path) -> int:
    """Return the number of the run that wrote a log."""
    return int(path.name.split("-")[1].removesuffix(".jsonl"))


def _times(path: Path) -> Iterator[str]:
    """Yield the times in a log, "" for a line without one."""
    with path.open("rb") as log:
        yield from map(_time_of, log)


def read_frame_logs(folder: Path, since: str, until: str) -> LoggedFrames:
    """Read the frames of a folder's logs with since <= time < until (UTC, ISO 8601)."""
    frames = LoggedFrames()
    paths = log_paths(folder)
    step = max(1, sum(path.stat().st_size for path in paths) // SAMPLED_BYTES)
    lost: dict[int, dict[str, int]] = {}  # by run: the counts of a run only grow
    times: list[str] = []
    for path in paths:
        run = _run_of(path)
        for time, line in _lines(path, since, until):
            if b'"lost": ' in line and (record := _decoded(line)):
                lost[run] = _counts(record.get("lost"))
            if b'"clock_step": ' in line and (record := _decoded(line)) and _is_number(record.get("clock_step")):
                frames.clock_steps.append(float(record["clock_step"]))
            if not len(times) % step and (record := _decoded(line)):
                frames.samples.append(record)
            times.append(time)
            frames.runs.add(run)
    for counts in lost.values():
        for name, count in counts.items():
            frames.lost[name] = frames.lost.get(name, 0) + count
    frames.samples.sort(key=lambda record: str(record["time"]))
    times.sort()
    frames.count = len(times)
    if times:
        frames.first, frames.last = times[0], times[-1]
        frames.gaps = _gaps(times)
    return frames


def _lines(path: Path, since: str, until: str) -> Iterator[tuple[str, bytes]]:
    """Yield time and content of the lines of a log that are of the night."""
    with path.open("rb") as log:
        for line in log:
            time = _time_of(line)
            if since <= time < until:
                yield time, line


def _time_of(line: bytes) -> str:
    """Return the time in a line, "" if it has none, or a damaged one.

    Inside a name, the quotes would be escaped.
    """
    start = line.find(_TIME) + len(_TIME)
    text = line[start : line.find(b'"', start)].decode("ascii", "replace") if start >= len(_TIME) else ""
    try:
        return text if text.endswith("Z") and datetime.datetime.fromisoformat(text) else ""
    except ValueError:
        return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _counts(value: object) -> dict[str, int]:
    """Return the counts in a record; none of a damaged one."""
    return {name: count for name, count in value.items() if isinstance(count, int)} if isinstance(value, dict) else {}


def _decoded(line: bytes) -> dict[str, Any] | None:
    """Return the record in a line; None if it is damaged or incomplete."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("time") == _time_of(line) else None


def _gaps(times: list[str]) -> list[tuple[str, str]]:
    gaps = []
    before = None
    for text in times:
        now = datetime.datetime.fromisoformat(text)
        if before and (now - before[0]).total_seconds() > GAP_SECONDS:
            gaps.append((before[1], text))
        before = now, text
    return gaps
