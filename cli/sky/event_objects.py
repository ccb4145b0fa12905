"""Events by their position on the sky: options, and the table of objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...runtime.system.output_text import json_line

if TYPE_CHECKING:
    from ...runtime.events.queries import Query


def near_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select events by their position on the sky."""
    for option in (
        click.option("--radius", default="10m", show_default=True, help="Radius for --near, e.g. 30s, 10m, 1.5d."),
        click.option(
            "--near", metavar="POSITION",
            help="Only events near an object, e.g. 'M 94', or coordinates, e.g. '192.72 41.12' (degrees, J2000).",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def sky_query(folder: Path, conditions: dict[str, Any], limit: int | None = None) -> Query:
    """Return the query of the options that select events."""
    from ...runtime.events.queries import Query

    near, radius = conditions.pop("near"), conditions.pop("radius")
    if near is None:
        return Query(**conditions, limit=limit)
    from ...runtime.events.near import resolve_position
    from ...sky.coordinates import parse_angle

    return Query(**conditions, near=(*resolve_position(folder, near), parse_angle(radius)), limit=limit)


def print_objects(folder: Path, query: Query, as_json: bool, width: int | None) -> None:
    """Print a line for each object of the events that match a query."""
    from rich import box
    from rich.table import Table

    from ...runtime.events.near import summarise_objects
    from ...runtime.events.queries import query_events
    from ...runtime.monitoring.console import PlainConsole

    found = summarise_objects(query_events(folder, query))
    if as_json:
        click.echo(json_line([item.to_dict() for item in found]))
        return
    heads = ("object", "kind", "ra", "dec", "runs", "events", "frames", "last seen (UTC)", "best event")
    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for item in found:
        counts = map(str, (item.runs, item.events, item.frames))
        position = (f"{item.ra:.4f}", f"{item.dec:+.4f}")
        last = item.last_time[:19].replace("T", " ")
        table.add_row(item.name or item.id, item.kind or "", *position, *counts, last, item.best)
    console = PlainConsole(width=width)
    console.print(table)
    from ...runtime.events.field_table import read_field
    from ...sky.catalogue.in_field import field_text

    objects = read_field(folder, query.since or "", query.before or "~")
    if query.near:
        from ...sky.angles import separation

        ra, dec, radius = query.near
        objects = [item for item in objects if separation(ra, dec, item.ra, item.dec) <= radius]
    if text := field_text(objects):
        console.print(f"known objects in the field: {text}", soft_wrap=True, highlight=False)
