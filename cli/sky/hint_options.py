"""Options that say where a frame is on the sky, shared by `solve` and `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..options import CheckedText, Number

if TYPE_CHECKING:
    from ...sky.hints import Hints


def _ra(text: str) -> object:
    from ...sky.hints import parse_angle

    return parse_angle(text, is_ra=True)


def _dec(text: str) -> object:
    from ...sky.hints import parse_angle

    return parse_angle(text, is_ra=False)


RA = CheckedText("ra", _ra, "12h50m53s")
DEC = CheckedText("dec", _dec, "+41d07m13s")

HINT_OPTIONS = (
    click.option("--ra", type=RA, metavar="RA", help="Right ascension near the centre: 192.72 (degrees) or 12h50m53s."),
    click.option("--dec", type=DEC, metavar="DEC", help="Declination near the centre: 41.12 or +41d07m13s."),
    click.option(
        "--radius", type=Number(0.1, 180), metavar="DEGREES",
        help="Search this far around the position first; default: 3.",
    ),
    click.option(
        "--scale", type=Number(0.01, 3600), metavar="ARCSEC", help="Arcseconds per pixel, known to 10 %."
    ),
)  # fmt: skip


def hints_of(options: dict[str, Any]) -> Hints:
    """Return the hints of the options, which are removed.

    Raises:
        click.UsageError: only one coordinate is given, or a radius without a position.
    """
    from ...sky.hints import RADIUS, Hints, parse_angle, scale_range

    ra, dec, radius, scale = (options.pop(name) for name in ("ra", "dec", "radius", "scale"))
    if (ra is None) != (dec is None):
        raise click.UsageError("--ra and --dec are given together")
    if ra is None:
        return Hints(radius=radius or RADIUS, scale=scale_range(scale) if scale else None)
    return Hints(
        parse_angle(ra, is_ra=True), parse_angle(dec, is_ra=False), radius or RADIUS,
        scale_range(scale) if scale else None,
    )  # fmt: skip
