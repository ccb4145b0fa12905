"""`galaxy-edge events candidates`: what may be new near a galaxy."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...runtime.system.output_text import json_line
from ..options import FOLDER

if TYPE_CHECKING:
    from ...runtime.events.candidates import CandidateRow

NOTE = "A candidate is not a discovery: check it first, see its report.txt."
WIDE = 160


@click.command()
@click.option(
    "--in", "folder", type=FOLDER, default=Path("galaxy-edge-out"), show_default=True, help="Output folder of the runs."
)
@click.option(
    "--format", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True, help="Output format."
)
@click.argument("name", required=False)
def candidates(folder: Path, format: str, name: str | None) -> None:
    """List what is new near galaxies, found by run --watch-new, the latest last.

    With the NAME of a candidate, print its report, which says what to check.
    """
    from ...runtime.events.candidates import query_candidates

    rows = query_candidates(folder)
    if name is not None:
        _print_report([row for row in rows if row.id == name], name)
    elif format == "json":
        click.echo(json_line([row.to_dict() for row in rows]))
    elif format == "csv":
        sys.stdout.write(_csv(rows))
    elif rows:
        _print_table(rows)
        click.echo(NOTE)
    else:
        click.echo("no candidates; galaxy-edge run --watch-new looks for them from the second night of a field on")


def _print_report(rows: list[CandidateRow], name: str) -> None:
    from ...runtime.watch.files import report_text

    if not rows:
        raise click.UsageError(f"there is no candidate '{name}': galaxy-edge events candidates lists them")
    click.echo(report_text(rows[0]), nl=False)


def _csv(rows: list[CandidateRow]) -> str:
    from ...runtime.events.candidates import COLUMNS

    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.to_dict() for row in rows)
    return stream.getvalue()


def _print_table(rows: list[CandidateRow]) -> None:
    from rich import box
    from rich.table import Table

    from ...runtime.monitoring.console import PlainConsole

    heads = ("candidate", "ra", "dec", "magnitude", "galaxy", "east", "north", "stacks", "recovered", "last seen (UTC)")
    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(
            row.id, f"{row.ra:.4f}", f"{row.dec:+.4f}", f"{row.magnitude:.1f}", row.galaxy, f'{row.offset_east:.0f}"',
            f'{row.offset_north:.0f}"', f"{row.sightings}/{row.stacks}",
            "" if row.recovered is None else f"{row.recovered:.0%}", row.last_time[:16].replace("T", " "),
        )  # fmt: skip
    PlainConsole(width=None if sys.stdout.isatty() else WIDE).print(table)
