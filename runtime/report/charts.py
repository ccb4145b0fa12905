"""Charts of the report as SVG, coloured by the page's style."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import NamedTuple

from .markup import text

WIDTH, HEIGHT = 480, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 10, 28
COLOURS = 6
"""Number of colours in the style: ``c0`` to ``c5``."""
_TICKS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600)


class Series(NamedTuple):
    """A line of a chart.

    Attributes:
        label: for the legend.
        seconds: times since 1970, ascending.
        values: at these times.
        dotted: whether points are drawn in place of a line.
    """

    label: str
    seconds: Sequence[float]
    values: Sequence[float]
    dotted: bool = False


def time_chart(series: Sequence[Series], unit: str, *, limits: tuple[float, float] | None = None) -> str:
    """Return a chart of values over the time of the night, "" without values.

    Args:
        series: lines; those without values are left out.
        unit: of the values.
        limits: lowest and highest value shown; None for those of the values.
    """
    series = [line for line in series if len(line.seconds)]
    if not series:
        return ""
    begin = min(line.seconds[0] for line in series)
    end = max(max(line.seconds[-1] for line in series), begin + 60)
    low, high = limits or _limits([value for line in series for value in line.values])

    def x(second: float) -> float:
        return LEFT + (second - begin) / (end - begin) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - min(max(value, low), high)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_grid_line(LEFT, y(value), WIDTH - RIGHT, y(value)) + _value_label(y(value), value)
             for value in _nice_values(low, high)]  # fmt: skip
    parts += [_grid_line(x(t), TOP, x(t), HEIGHT - BOTTOM) + _time_label(x(t), t) for t in _nice_times(begin, end)]
    for index, line in enumerate(series):
        points = [(x(t), y(v)) for t, v in zip(line.seconds, line.values, strict=True) if math.isfinite(v)]
        parts.append(_line(points, f"c{index % COLOURS}", line.dotted or len(points) < 3))
    legend = "".join(
        f'<li><i class="c{index % COLOURS}"></i>{text(line.label)}</li>' for index, line in enumerate(series)
    )
    title = text(f"{', '.join(line.label for line in series)} in {unit}, over UTC")
    return (
        f'<div><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
        f'<ul class="legend">{legend}<li>{text(unit)}, UTC</li></ul></div>'
    )


def bar_chart(labels: Sequence[str], found: Sequence[int], expected: Sequence[int]) -> str:
    """Return bars of how many were found of those expected, with a percentage each."""
    rows = []
    for label, count, total in zip(labels, found, expected, strict=True):
        share = 100.0 * count / total if total else 0.0
        rows.append(
            f'<tr><th>{text(label)}</th><td class="bar"><svg viewBox="0 0 100 6">'
            f'<rect width="{share:.0f}" height="6"/></svg></td>'
            f"<td>{count} of {total}</td></tr>"
        )
    return f"<table class='bars'>{''.join(rows)}</table>" if rows else ""


def _limits(values: Sequence[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    margin = 0.05 * (high - low) or abs(high) * 0.05 or 1.0
    return (0.0 if 0 <= low <= 0.3 * high else low - margin), high + margin


def _nice_values(low: float, high: float) -> list[float]:
    """Return round values between two limits, at most six."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _nice_times(begin: float, end: float) -> list[float]:
    step = next((step for step in _TICKS if (end - begin) / step <= 6), 86_400)
    return [step * number for number in range(math.ceil(begin / step), math.floor(end / step) + 1)]


def _grid_line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path class="grid" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>'


def _value_label(y: float, value: float) -> str:
    return f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'


def _time_label(x: float, second: float) -> str:
    time = datetime.datetime.fromtimestamp(second, datetime.UTC)
    return f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{time:%H:%M}</text>'


def _line(points: Sequence[tuple[float, float]], colour: str, dotted: bool) -> str:
    if dotted:
        return "".join(f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points)
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="line {colour}" d="M{path}"/>'
