"""`galaxy-edge view`: show in a browser what runs left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import FOLDER, PLACE

if TYPE_CHECKING:
    from ...runtime.report.night import Place


@click.command()
@click.argument("folder", type=FOLDER, default=Path("galaxy-edge-out"))
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port of this machine.")
@click.option("--night", metavar="DATE", help="Date of the evening, e.g. 2026-11-28; default: the latest night.")
@click.option("--place", type=PLACE, metavar="LAT,LON", help="Where the telescope stands, in degrees.")
def view(folder: Path, port: int, night: str | None, place: Place | None) -> None:
    """Show the results of runs in a browser: objects, crops, sheets, videos.

    FOLDER is an output folder; default: galaxy-edge-out. Only browsers on this machine can open the page;
    `galaxy-edge report` writes it to a file that can be sent elsewhere.
    """
    from ...runtime.report.viewer import Viewer

    viewer = Viewer(folder, port, night, place)
    click.echo(f"open {viewer.url} in a browser on this machine; Ctrl-C ends it")
    try:
        viewer.serve()
    except KeyboardInterrupt:
        click.echo("")
