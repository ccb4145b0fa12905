"""`galaxy-edge events`: what was found in the nights so far."""

from __future__ import annotations

import datetime
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..runtime.system.utc_time import utc_text
from .options import COUNT, FOLDER, Number

FORMATS = click.Choice(["table", "json", "csv"])
WIDE = 200
"""Columns of a table that no terminal shows: nothing of it is cut."""
IN = click.option(
    "--in", "folder", type=FOLDER, default=Path("galaxy-edge-out"), show_default=True, help="Output folder of the runs."
)


class When(click.ParamType):
    """A date, a time, or how long ago: 2026-11-22, 2026-11-22T21:30, 36h, 30d. Becomes UTC as ISO 8601."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Turn a text into a time."""
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
            self.fail(f"'{value}' is no time: give {known}", param, context)
        return utc_text(time)


def _which(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose events."""
    for option in (
        click.option("--min-probability", type=Number(0, 1), help="Least probability of the class."),
        click.option("--min-score", type=Number(0, 1), help="Least score of the detector."),
        click.option(
            "--before", type=When(), metavar="WHEN", help="First seen before: a date, a time, 36h or 30d ago."
        ),
        click.option("--since", type=When(), metavar="WHEN", help="Last seen since then."),
        click.option("--kind", help="object, or what it turned out to be, e.g. 'hot pixel'; default: all."),
        click.option("--class", "name", help="Class, or the beginning of its name, e.g. spiral."),
        click.option("--run", type=COUNT, help="Number of a run."),
        IN,
    ):
        command = option(command)
    return command


@click.group()
def events() -> None:
    """List, look up, export and prune what was found."""


@events.command("list")
@_which
@click.option("--limit", type=COUNT, default=50, show_default=True, help="The last so many.")
@click.option("--format", type=FORMATS, default="table", show_default=True, help="How to print them.")
def list_events(folder: Path, limit: int, format: str, **which: Any) -> None:
    """List events, the latest last."""
    from ..runtime.events.queries import Query, as_csv, query_events

    records = query_events(folder, Query(**which, limit=limit))
    if format == "json":
        click.echo(json.dumps(records, ensure_ascii=False))
    elif format == "csv":
        sys.stdout.write(as_csv(records))
    else:
        _print_table(records)
        click.echo("?: the class is a guess; +: still in sight")


def _print_table(records: list[dict[str, Any]]) -> None:
    """Print a line an event. On a narrow terminal the class is shortened, never what `events show` is asked with."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("event", "first seen (UTC)", "class", "score", "frames", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.no_wrap = column.header != "class"
    for one in records:
        name = f"{one['class']} {one['probability']:.2f}{' ?' if one['sure'] is False else ''}"
        name = name if one["kind"] == "object" else one["kind"]
        table.add_row(
            one["id"],
            one["first_time"][:19].replace("T", " "),
            Text(name, no_wrap=True, overflow="ellipsis"),
            f"{one['score']:.2f}",
            f"{one['frames']}{'' if one['state'] == 'ended' else ' +'}",
        )
    table.columns[0].min_width = max((len(one["id"]) for one in records), default=0)
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


@events.command()
@IN
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.argument("event")
def show(folder: Path, as_json: bool, event: str) -> None:
    """Show all that is known of EVENT, e.g. 1f0c22aa-00012."""
    from ..runtime.events.queries import get_event

    record = get_event(folder, event)
    if as_json:
        click.echo(json.dumps(record, ensure_ascii=False))
        return
    for key, value in record.items():
        if key == "crop" and value:
            value = folder / value
        if key == "probabilities":
            value = ", ".join(f"{name} {p:.2f}" for name, p in sorted(value.items(), key=lambda pair: -pair[1]))
        click.echo(f"{key}: {'' if value is None else value}")


@events.command()
@_which
@click.option(
    "--format", type=click.Choice(["json", "csv"]), help="Default: by the name of FILE; csv on standard output."
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
def export(folder: Path, format: str | None, file: Path, **which: Any) -> None:
    """Write events to FILE (.csv or .json; - for standard output)."""
    from ..runtime.events.queries import Query, as_csv, query_events
    from ..runtime.system.atomic_files import write_user_file

    to_stdout = str(file) == "-"
    format = format or ("csv" if to_stdout else {".csv": "csv", ".json": "json"}.get(file.suffix.lower()))
    if format is None:
        raise click.UsageError(f"the name '{file}' does not tell the format: end it in .csv or .json, or give --format")
    records = query_events(folder, Query(**which))
    text = as_csv(records) if format == "csv" else json.dumps(records, ensure_ascii=False, indent=1) + "\n"
    if to_stdout:
        sys.stdout.write(text)
        return
    try:
        write_user_file(file, text.encode())
    except OSError as problem:
        raise click.UsageError(f"'{file}' cannot be written: {problem.strerror}") from None
    click.echo(f"{len(records)} events: {file}")


@events.command()
@_which
@click.option("--all", "everything", is_flag=True, help="All events, where no other option chooses.")
@click.option("--crops-only", is_flag=True, help="Keep the events, delete only their crops.")
@click.option("--dry-run", is_flag=True, help="Delete nothing; tell what would go.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def prune(folder: Path, everything: bool, crops_only: bool, dry_run: bool, as_json: bool, **which: Any) -> None:
    """Delete events that are over, with their crops: those that the options choose."""
    from ..runtime.events.queries import Query
    from ..runtime.events.queries import prune_events as delete

    if everything == any(value is not None for value in which.values()):
        raise click.UsageError("say which events go, e.g. --before 30d or --run 3, or --all")
    counts = delete(folder, Query(**which), crops_only, dry_run)
    if as_json:
        click.echo(json.dumps(counts))
        return
    verb = "would go" if dry_run else "are gone"
    click.echo(f"{counts['events']} events and {counts['crops']} crops ({counts['bytes'] / 1e6:.1f} MB) {verb}")
