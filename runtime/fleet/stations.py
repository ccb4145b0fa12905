"""The state of every station of a fleet, from the messages of `mqtt.publisher`."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

SILENT_SECONDS = 60.0
SHALLOW = 0.5
"""Minimum difference, in magnitudes, of a depth below the median of all stations that is warned of."""
MAX_STATIONS = 1000
MAX_EVENT_IDS = 100_000
"""Bounds of what anyone who may publish can make this process keep."""


@dataclass
class Station:
    """What a station has published.

    Attributes:
        name: its topics without the prefix, usually the host's name.
        online: as it said itself, or the broker did when it was lost; None before either.
        heard: monotonic seconds of the last figures; None before the first.
        stats: the last figures, see `RunMonitor.stats`.
        events: ids of the events that began while this process listened.
    """

    name: str
    online: bool | None = None
    heard: float | None = None
    stats: dict[str, Any] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class StationRow:
    """A station as it is shown.

    Attributes:
        name: of the station.
        state: that of its run, or ``offline`` or ``silent``.
        last_frame: UTC time, ISO 8601.
        rate: frames per second.
        temperature: of the processor in degrees Celsius.
        depth: of the sky, in magnitudes, where a station publishes it.
        events: objects of the present run, at least those that were heard of.
        version: of the package.
        bundles: hash by name.
        silent_seconds: since the last figures.
        warnings: one text for each.
    """

    name: str
    state: str
    last_frame: str | None
    rate: float | None
    temperature: float | None
    depth: float | None
    events: int
    version: str
    bundles: dict[str, str]
    silent_seconds: float | None
    warnings: tuple[str, ...]


class Fleet:
    """All stations; thread-safe.

    Args:
        prefix: of the topics of every station.
        silent: seconds without figures after which a station counts as silent.
        clock: returns monotonic seconds.
    """

    def __init__(
        self, prefix: str, silent: float = SILENT_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._prefix, self._silent, self._clock = prefix, silent, clock
        self._lock = threading.Lock()
        self._stations: dict[str, Station] = {}

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a message; those that are not of a station are ignored."""
        base, _, kind = topic.rpartition("/")
        if kind not in ("available", "stats", "events") or not f"{base}/".startswith(f"{self._prefix}/"):
            return
        name = base.removeprefix(self._prefix).strip("/") or base
        with self._lock:
            if name not in self._stations and len(self._stations) >= MAX_STATIONS:
                return
            station = self._stations.setdefault(name, Station(name))
            if kind == "available":
                station.online = payload == b"online"
                return
            content = _table(payload)
            if kind == "stats" and content:
                station.stats, station.heard = content, self._clock()
            elif content.get("type") == "new" and len(station.events) < MAX_EVENT_IDS:
                station.events.add(str(content.get("id"))[:64])

    def rows(self) -> list[StationRow]:
        """Return all stations, sorted by name, with warnings."""
        with self._lock:
            stations = [self._stations[name] for name in sorted(self._stations)]
            usual = {
                "version": _most_common([_text(station.stats.get("version")) for station in stations]),
                "bundles": _most_common([json.dumps(_bundles(station)) for station in stations if _bundles(station)]),
            }
            depths = [depth for station in stations if (depth := _number(station.stats.get("depth"))) is not None]
            depth = statistics.median(depths) if depths else None
            return [self._row(station, usual, depth) for station in stations]

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary that can be written as JSON."""
        rows = self.rows()
        return {"stations": [asdict(row) for row in rows], "warnings": sum(len(row.warnings) for row in rows)}

    def _row(self, station: Station, usual: dict[str, str], usual_depth: float | None) -> StationRow:
        stats, bundles = station.stats, _bundles(station)
        silent = None if station.heard is None else round(self._clock() - station.heard, 1)
        state, warnings = _text(stats.get("state")) or "unknown", []
        if station.online is False:
            state = "offline"
            warnings.append("offline")
        elif silent is None or silent > self._silent:
            state = "silent"
            warnings.append("no figures yet" if silent is None else f"silent for {silent:.0f} s")
        elif state == "stalled":
            warnings.append("no frames arrive, or nothing can be written")
        version = _text(stats.get("version"))
        if version and version != usual["version"]:
            warnings.append(f"version {version}, most stations have {usual['version']}")
        expected: dict[str, str] = json.loads(usual["bundles"] or "{}")
        for name, value in bundles.items():
            if name in expected and value != expected[name]:
                warnings.append(f"{name} {value[:8]}, most stations have {expected[name][:8]}")
        depth = _number(stats.get("depth"))
        if depth is not None and usual_depth is not None and depth < usual_depth - SHALLOW:
            warnings.append(f"depth {depth:.1f}, the median is {usual_depth:.1f}")
        return StationRow(
            station.name, state, _text(stats.get("last_frame")) or None, _number(stats.get("frames_per_second")),
            _number(stats.get("temperature")), depth,
            max(int(_number(stats.get("events")) or 0), len(station.events)), version, bundles, silent,
            tuple(warnings),
        )  # fmt: skip


def _table(payload: bytes) -> dict[str, Any]:
    """Return a JSON object; an empty one for any other content: anyone may publish."""
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _bundles(station: Station) -> dict[str, str]:
    bundles = station.stats.get("bundles")
    items = sorted(bundles.items()) if isinstance(bundles, dict) else []
    return {name[:64]: _text(value) for name, value in items[:8]}


def _text(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return float(value) if is_number else None  # type: ignore[arg-type]


def _most_common(texts: list[str]) -> str:
    counted = Counter(text for text in texts if text).most_common(1)
    return counted[0][0] if counted else ""
