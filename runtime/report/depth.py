"""How deep a night was: curves, and which expected galaxies were found."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ...sky.depth import Completeness
from ..events.depth_tables import COMPLETENESS_FILE, DEPTH_FILE, finite_number, galaxy_from_columns
from .charts import Series, bar_chart, time_chart
from .curves import seconds_of
from .markup import section, table, text

MAX_MISSED = 30
_Row = TypeVar("_Row")
_CURVES = (
    ("limiting magnitude", "limiting_magnitude", "mag", None),
    ("width of stars", "star_fwhm", "arcsec", None),
    ("elongation of stars", "star_elongation", "longer over shorter axis", None),
    ("sky brightness", "sky_brightness", "mag/arcsec2", None),
    ("transparency", "transparency", "share of the best frame", (0.0, 1.0)),
)
"""Label, column, unit and limits of each curve."""


@dataclass
class NightDepth:
    """Measurements of a night.

    Attributes:
        points: by column of the table, pairs of seconds since 1970 and value, ascending.
        galaxies: catalogued galaxies of its fields.
    """

    points: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    galaxies: Completeness = field(default_factory=Completeness)

    @property
    def best_limit(self) -> float | None:
        """Faintest limiting magnitude of the night, None if unknown."""
        return max((value for _, value in self.points.get("limiting_magnitude", ())), default=None)


def read_depth(folder: Path, since: str, until: str) -> NightDepth:
    """Read the measurements of a folder with since <= time < until (UTC, ISO 8601).

    Damaged rows are left out.
    """
    depth = NightDepth()
    for row in _rows(folder / DEPTH_FILE, since, until, _points):
        for name, point in row:
            depth.points.setdefault(name, []).append(point)
    for points in depth.points.values():
        points.sort()
    depth.galaxies.add(_rows(folder / COMPLETENESS_FILE, since, until, galaxy_from_columns))
    return depth


def depth_section(depth: NightDepth) -> str:
    """Return curves of the depth, and which galaxies were found and missed."""
    charts = [
        time_chart([_series(label, points)], unit, limits=limits)
        for label, column, unit, limits in _CURVES
        if (points := depth.points.get(column))
    ]
    curves = f'<div class="charts">{"".join(charts)}</div>' if charts else ""
    return section("Depth", curves, "depth") + section("Completeness", _completeness(depth.galaxies), "completeness")


def _series(label: str, points: Sequence[tuple[float, float]]) -> Series:
    return Series(label, [second for second, _ in points], [value for _, value in points], dotted=True)


def _completeness(galaxies: Completeness) -> str:
    expected, found = galaxies.totals()
    if not expected:
        return ""
    bars = "".join(
        f"<div><h3>{title}</h3>{_bars(galaxies, name)}</div>"
        for title, name in (("By magnitude", "magnitude"), ("By surface brightness, mag/arcsec2", "surface_brightness"))
    )
    intro = f"{found} of {expected} catalogued galaxies that these frames should show were found."
    content = f'<p>{intro}</p><div class="charts">{bars}</div>'
    missed = galaxies.missed_galaxies()
    if missed:
        rows = [
            (item.name, f"{item.magnitude:.1f}", f"{item.surface_brightness:.1f}", f"{item.sigmas:.0f}")
            for item in missed[:MAX_MISSED]
        ]
        head = ("name", "magnitude", "surface brightness, mag/arcsec2", "signal over noise")
        content += f"<h3>Expected, not found</h3>{table(head, rows)}"
    if len(missed) > MAX_MISSED:
        content += f"<p>{text(f'{len(missed) - MAX_MISSED} fainter ones were not found either.')}</p>"
    return content


def _bars(galaxies: Completeness, name: str) -> str:
    bins = [entry for entry in galaxies.bins(name) if entry["expected"]]
    return bar_chart(
        [f"{entry['from']} to {entry['to']}" for entry in bins],
        [entry["expected"] - entry["missed"] for entry in bins],
        [entry["expected"] for entry in bins],
    )


def _rows(path: Path, since: str, until: str, read: Callable[[dict[str, str]], _Row]) -> Iterator[_Row]:
    """Yield what `read` makes of a table's rows of the night.

    Nothing without a file.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").replace("\0", "").splitlines()
    except FileNotFoundError:
        return
    for row in csv.DictReader(lines):
        try:
            if since <= row["time"] < until:
                yield read(row)
        except (KeyError, ValueError, TypeError):  # a line cut short by a power failure
            continue


def _points(row: dict[str, str]) -> list[tuple[str, tuple[float, float]]]:
    second = seconds_of(row["time"])
    return [(column, (second, finite_number(row[column]))) for _, column, _, _ in _CURVES if row[column]]
