"""`galaxy-edge events`: list, show, export, prune and back up events."""

from __future__ import annotations

import datetime
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.system.address import printable_name
from ..runtime.system.output_text import json_line
from ..runtime.system.utc_time import utc_text
from .options import COUNT, FOLDER, Number
from .sky.candidates import candidates
from .sky.event_objects import near_options, sky_query

if TYPE_CHECKING:
    from ..runtime.events.event_row import EventRow

FORMATS = click.Choice(["table", "json", "csv"])
WIDE = 200
"""Width of a table that is not printed on a terminal, in columns, so that nothing is shortened."""
IN = click.option(
    "--in", "folder", type=FOLDER, default=Path("galaxy-edge-out"), show_default=True, help="Output folder of the runs."
)


class Age(str):
    """A time in ISO 8601 that was given as an age."""


class When(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    """A date, a time or an age, converted to UTC in ISO 8601.

    Examples: 2026-11-22, 2026-11-22T21:30, 36h, 30d.
    """

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Convert a text to a time."""
        ago = re.fullmatch(r"(\d{1,6})([hd])", value)
        try:
            if ago:
                hours = int(ago[1]) * (24 if ago[2] == "d" else 1)
                time = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours)
            else:
                time = datetime.datetime.fromisoformat(value)
                time = time.astimezone(datetime.UTC) if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        except (ValueError, OverflowError):
            known = "2026-11-22, 2026-11-22T21:30 (UTC), 36h or 30d (ago)"
            self.fail(f"'{value}' is not a time: use {known}", param, context)
        return Age(utc_text(time)) if ago else utc_text(time)


def _query_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select events."""
    for option in (
        click.option("--min-probability", type=Number(0, 1), help="Minimum probability of the class."),
        click.option("--min-score", type=Number(0, 1), help="Minimum score of the detector."),
        click.option(
            "--before",
            type=When(),
            metavar="WHEN",
            help="First seen before a date, a time, or an age such as 30d.",
        ),
        click.option(
            "--since", type=When(), metavar="WHEN", help="Last seen since a date, a time, or an age such as 36h."
        ),
        click.option("--kind", help="Only events of a kind: object, or an artefact such as 'hot pixel'; default: all."),
        click.option("--class", "name", help="Class, or the beginning of its name, e.g. spiral."),
        click.option("--run", type=COUNT, help="Number of a run."),
        IN,
    ):
        command = option(command)
    return command


@click.group()
def events() -> None:
    """List, look up, export, prune and back up events."""


events.add_command(candidates)


@events.command("list")
@_query_options
@near_options
@click.option("--limit", type=COUNT, default=50, show_default=True, help="Maximum number of events, the latest.")
@click.option("--format", type=FORMATS, default="table", show_default=True, help="Output format.")
def list_events(folder: Path, limit: int, format: str, **conditions: Any) -> None:
    """List events, the latest last.

    \b
    galaxy-edge events list --since 12h --class spiral
    galaxy-edge events list --near "M 94" --format csv
    """
    from ..runtime.events.event_row import as_csv
    from ..runtime.events.queries import query_events

    rows = query_events(folder, sky_query(folder, conditions, limit))
    if format == "json":
        click.echo(json_line([row.to_dict() for row in rows]))
    elif format == "csv":
        sys.stdout.write(as_csv(rows))
    elif rows:
        _print_table(rows)
        click.echo("?: the class is a guess; +: still in sight")
    else:
        click.echo(_why_none(folder, conditions["name"]))


def _why_none(folder: Path, name: str | None) -> str:
    """Return why no event is listed, with the classes that there are."""
    from ..runtime.events.queries import class_counts

    classes = class_counts(folder)
    if not classes:
        return f"there are no events in {printable_name(str(folder))} yet"
    if name and not any(known.startswith(name) for known in classes):
        listed = ", ".join(f"{printable_name(known)} ({count})" for known, count in classes.items())
        return f"no event has a class that begins with '{printable_name(name)}'; there are: {listed}"
    return "no event meets these conditions"


def _print_table(rows: list[EventRow]) -> None:
    """Print a line for each event.

    A narrow terminal shortens class and file, never the id that `events show` takes. Without a terminal, the table has
    no lines.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ..models.naming import GROUP_LABELS, sure_group
    from ..runtime.monitoring.console import PlainConsole

    style = box.SIMPLE_HEAD if sys.stdout.isatty() else None
    more = ("object",) if (on_sky := any(row.sky and row.sky.is_known for row in rows)) else ()
    heads = ("event", "first seen (UTC)", *more, "class", "score", "frames", "file")
    table = Table(*heads, box=style, pad_edge=False, header_style="bold" if style else "")
    for column in table.columns:
        column.no_wrap = column.header not in ("class", "file")
    for row in rows:
        group = sure_group(row.probabilities) if row.sure is False else None
        name = f"{row.name} {row.probability:.2f}{' ?' if row.sure is False else ''}"
        name = f"{GROUP_LABELS[group]} ({row.name}?)" if group else name
        name = name if row.kind == "object" else row.kind
        table.add_row(
            row.id,
            row.first_time[:19].replace("T", " "),
            *([(row.sky and (row.sky.object_name or row.sky.object_id)) or ""] if on_sky else []),
            Text(name, no_wrap=True, overflow="ellipsis"),
            f"{row.score:.2f}",
            f"{row.frames}{'' if row.state == 'ended' else ' +'}",
            Text(row.source, no_wrap=True, overflow="ellipsis"),
        )
    table.columns[0].min_width = max((len(row.id) for row in rows), default=0)
    PlainConsole(width=None if sys.stdout.isatty() else WIDE).print(table)


@events.command()
@_query_options
@near_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def objects(folder: Path, as_json: bool, **conditions: Any) -> None:
    """List the objects that events of all runs are of, the one seen last at the end."""
    from .sky.event_objects import print_objects

    print_objects(folder, sky_query(folder, conditions), as_json, None if sys.stdout.isatty() else WIDE)


@events.command()
@IN
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.argument("event")
def show(folder: Path, as_json: bool, event: str) -> None:
    """Show all fields of one event.

    EVENT is its id, e.g. 1f0c22aa-00012, or its number in the latest run, e.g. 12.
    """
    from ..runtime.events.queries import get_event

    record = get_event(folder, event).to_dict()
    if as_json:
        click.echo(json_line(record))
        return
    for key, value in record.items():
        if key == "crop" and value:
            value = folder / value
        if key == "sky":
            value = ", ".join(f"{name} {entry}" for name, entry in value.items())
        if key == "probabilities":
            value = ", ".join(f"{name} {p:.2f}" for name, p in sorted(value.items(), key=lambda pair: -pair[1]))
        click.echo(printable_name(f"{key}: {'' if value is None else value}"))


@events.command()
@_query_options
@near_options
@click.option(
    "--format",
    type=click.Choice(["csv", "json", "ecsv", "votable", "parquet", "regions"]),
    help="Default: by the suffix of FILE (.csv, .json, .ecsv, .vot, .parquet, .reg); csv on standard output.",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
def export(folder: Path, format: str | None, file: Path, **conditions: Any) -> None:
    """Write events to FILE, or to standard output (-).

    ECSV, VOTable and Parquet have units and UCDs. Regions are for DS9: circles around events with a position on the
    sky.

    \b
    galaxy-edge events export tonight.csv --since 24h
    """
    from ..files import write_user_file
    from ..runtime.events.queries import query_events
    from ..runtime.events.table_formats import SUFFIXES, table_bytes

    to_stdout = str(file) == "-"
    format = format or ("csv" if to_stdout else SUFFIXES.get(file.suffix.lower()))
    if format is None:
        known = ", ".join(SUFFIXES)
        raise click.UsageError(f"the name '{file}' does not give the format: end it in {known}, or give --format")
    rows = query_events(folder, sky_query(folder, conditions))
    content = _json_list([row.to_dict() for row in rows]).encode() if format == "json" else table_bytes(rows, format)
    if to_stdout and format == "parquet":
        sys.stdout.buffer.write(content)
        return
    if to_stdout:
        sys.stdout.write(content.decode())
        return
    try:
        write_user_file(file, content)
    except OSError as error:
        raise click.UsageError(f"'{file}' cannot be written: {error.strerror}") from None
    click.echo(f"{len(rows)} events: {file}")
    unplaced = sum(not (row.sky and row.sky.is_known) for row in rows)
    if format == "regions" and unplaced:
        click.echo(f"{unplaced} of them have no position on the sky: they are not in the file")


def _json_list(records: list[dict[str, Any]]) -> str:
    """Return records as a JSON list, one per line."""
    return "[" + ",\n ".join(map(json_line, records)) + "]\n"


@events.command()
@_query_options
@click.option("--all", "everything", is_flag=True, help="Delete all events; cannot be combined with other conditions.")
@click.option("--crops-only", is_flag=True, help="Keep the events, delete only their crops.")
@click.option("--dry-run", is_flag=True, help="Delete nothing; print what would be deleted.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def prune(folder: Path, everything: bool, crops_only: bool, dry_run: bool, as_json: bool, **conditions: Any) -> None:
    """Delete selected events that have ended, with their crops.

    Here, --before selects by the time of the last sighting; by an age such as 30d, only events of runs that are as old,
    too, since frames of last year may have been processed today. Events of a run whose clock was not set (it began
    before 2020) are only deleted if --run names it.

    \b
    galaxy-edge events prune --before 30d --dry-run
    """
    from ..runtime.events.queries import Query
    from ..runtime.events.queries import prune_events as delete
    from ..runtime.monitoring.live_table import count_text

    if everything == any(value is not None for value in conditions.values()):
        raise click.UsageError("select the events to delete, e.g. --before 30d or --run 3, or --all")
    conditions["last_before"] = before = conditions.pop("before")
    if isinstance(before, Age) and conditions["run"] is None:
        conditions["run_before"] = before
    counts = delete(folder, Query(**conditions), crops_only, dry_run)
    if as_json:
        click.echo(json.dumps(counts))
        return
    verb = "would be deleted" if dry_run else "were deleted"
    deleted = " and ".join(count_text(counts[f"{noun}s"], noun) for noun in ("event", "crop"))
    click.echo(f"{deleted} ({counts['bytes'] / 1e6:.1f} MB) {verb}")


@events.command()
@IN
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(folder: Path, file: Path) -> None:
    """Copy the event file to FILE, even while a run writes to it.

    Copying the file by other means misses what is still in its journal.
    """
    from ..runtime.events.maintenance import backup_events

    click.echo(f"{backup_events(folder, file)} events: {file}")
