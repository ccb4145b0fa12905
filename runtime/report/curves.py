"""Curves of a night: altitudes of its fields, figures of its frames."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .charts import Series, time_chart
from .markup import section
from .night import Place
from .objects import NightObject
from .sky_map import fields_of
from .sky_position import altitudes

MAX_CURVES = 6
HOUR = 3600.0
BINS = 120
"""Number of points of a curve: samples of frames are averaged."""


def seconds_of(time: str) -> float:
    """Return seconds since 1970 of a time in ISO 8601."""
    return datetime.datetime.fromisoformat(time).timestamp()


def altitude_curves(objects: Sequence[NightObject], place: Place | None) -> str:
    """Return the altitudes of the night's fields.

    Each from an hour before its first sighting to an hour after its last.
    """
    fields = fields_of(objects)
    if not fields:
        return ""
    if place is None:
        return section(
            "Altitude", "<p>The place of the telescope is not known: --place LATITUDE,LONGITUDE.</p>", "altitude"
        )
    lines = []
    for field in fields[:MAX_CURVES]:
        begin, end = min(seconds_of(item.first) for item in field), max(seconds_of(item.last) for item in field)
        times = np.linspace(begin - HOUR, end + HOUR, BINS)
        assert field[0].position is not None
        lines.append(Series(field[0].title, times.tolist(), altitudes(*field[0].position, times, place).tolist()))
    chart = time_chart(lines, "degrees", limits=(0.0, 90.0))
    return section("Altitude", f'<div class="charts">{chart}</div>', "altitude")


def frame_curves(samples: Sequence[dict[str, Any]]) -> str:
    """Return curves of the frames: detections, brightness and noise of the sky."""
    charts = [
        time_chart([_binned(name, samples, value)], unit)
        for name, unit, value in (
            ("galaxies in a frame", "mean number", _galaxies),
            ("sky background", "levels of the camera", _sky),
            ("noise", "levels of the camera", _noise),
        )
    ]
    return section("Frames", f'<div class="charts">{"".join(charts)}</div>' if any(charts) else "", "frames")


def _binned(name: str, samples: Sequence[dict[str, Any]], value: Callable[[dict[str, Any]], float | None]) -> Series:
    """Return averages of a value over `BINS` parts of the night."""
    points = [
        (seconds_of(record["time"]), number) for record in samples if (number := _read(value, record)) is not None
    ]
    if not points:
        return Series(name, (), ())
    times, values = np.array(points).T
    width = max(1e-3, float(np.ptp(times)) / BINS)
    bins = ((times - times[0]) / width).astype(int)
    groups = [bins == number for number in np.unique(bins)]
    return Series(name, [float(times[g].mean()) for g in groups], [float(values[g].mean()) for g in groups])


def _read(value: Callable[[dict[str, Any]], float | None], record: dict[str, Any]) -> float | None:
    """Return a value of a record; None of a damaged one."""
    try:
        number = value(record)
    except (AttributeError, TypeError, ValueError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _sky(record: dict[str, Any]) -> float | None:
    return _mean((record.get("stretch") or {}).get("sky"))


def _noise(record: dict[str, Any]) -> float | None:
    return _mean((record.get("stretch") or {}).get("noise"))


def _galaxies(record: dict[str, Any]) -> float | None:
    return float(len(record.get("detections") or ()))


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if isinstance(values, list) and values else None
