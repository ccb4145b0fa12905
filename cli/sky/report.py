"""`galaxy-edge report`: one HTML page of a night."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..events import IN
from ..options import PLACE

if TYPE_CHECKING:
    from ...runtime.report.night import Place


@click.command()
@click.argument("night", required=False)
@IN
@click.option(
    "--out", "file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="File to write, - for standard output; default: report-NIGHT.html in the output folder.",
)  # fmt: skip
@click.option(
    "--place", type=PLACE, metavar="LAT,LON",
    help="Where the telescope stands, in degrees, north and east positive: for altitudes, and for the noon that "
    "separates nights.",
)  # fmt: skip
def report(night: str | None, folder: Path, file: Path | None, place: Place | None) -> None:
    """Write one HTML page of a night: objects, crops, maps, curves, faults.

    NIGHT is the date of its evening, e.g. 2026-11-28; default: the latest night in the output folder. The page needs
    no other file, and no network.

    \b
    galaxy-edge report 2026-11-28 --in found --place 48.2,16.4
    """
    from ...files import write_user_file
    from ...runtime.report.page import night_report

    found, page = night_report(folder, night, place)
    if str(file) == "-":
        sys.stdout.write(page)
        return
    file = file or folder / f"report-{found.name}.html"
    try:
        write_user_file(file, page.encode())
    except OSError as error:
        raise click.UsageError(f"'{file}' cannot be written: {error.strerror}") from None
    click.echo(f"night of {found.name}: {file}")
