"""`galaxy-edge fleet`: watch all stations of a broker."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import BROKER, FILE, SERVER, TOPIC, Number

if TYPE_CHECKING:
    from rich.console import Group

    from ...runtime.fleet.stations import Fleet


@click.group()
def fleet() -> None:
    """Watch all stations that publish to an MQTT broker."""


@fleet.command()
@click.option("--mqtt", type=BROKER, required=True, metavar="URL", help="mqtt[s]://[USER:PASSWORD@]HOST[:PORT].")
@click.option("--mqtt-ca", type=FILE, help="Certificate of the broker's authority, for mqtts://.")
@click.option(
    "--mqtt-prefix", type=TOPIC, default="galaxy-edge", show_default=True, metavar="PREFIX",
    help="What the topics of all stations begin with.",
)  # fmt: skip
@click.option(
    "--silent-after", type=Number(min=1), default=60.0, show_default=True, metavar="SECONDS",
    help="Warn of a station without figures for this time.",
)  # fmt: skip
@click.option(
    "--seconds", type=Number(min=0.1), metavar="SECONDS",
    help="Stop after this time; default: 12 with --json, else until interrupted.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Listen, then print one object.")
@click.option("--serve", type=SERVER, metavar="[HOST:]PORT", help="Show the table in a browser.")
@click.option("--token-file", type=FILE, help="File with the token of the page; default: fleet-token.")
# Many parameters because each is an option of the command.
def watch(
    mqtt: str, mqtt_ca: Path | None, mqtt_prefix: str, silent_after: float, seconds: float | None, as_json: bool,
    serve: str | None, token_file: Path | None,
) -> None:  # fmt: skip
    """Show the state of each station, and warn of differences.

    The state is the last frame, rate, temperature, events, bundles and version.
    """
    from ...errors import require_extra

    require_extra("paho", "mqtt")
    if serve:
        require_extra("fastapi", "serve")
    from ...runtime.fleet.listener import FleetListener
    from ...runtime.fleet.page import FleetPage
    from ...runtime.fleet.stations import Fleet
    from ...runtime.mqtt.address import parse_broker

    stations = Fleet(mqtt_prefix, silent_after)
    page = FleetPage(stations, serve, token_file) if serve else None
    listener = FleetListener(parse_broker(mqtt, mqtt_prefix, "", 10.0, mqtt_ca), stations)
    try:
        for note in page.notes if page else ():
            click.echo(note, err=True)
        if as_json:
            time.sleep(seconds or 12.0)
            click.echo(json.dumps(stations.as_dict()))
        else:
            _show(stations, seconds)
    except KeyboardInterrupt:
        pass  # how a watch ends
    finally:
        listener.close()
        if page:
            page.close()


def _show(stations: Fleet, seconds: float | None) -> None:
    """Update the table on a terminal until the time is over; elsewhere show it once."""
    from rich.live import Live

    from ...runtime.monitoring.console import PlainConsole

    console, end = PlainConsole(), time.monotonic() + (seconds or float("inf"))
    if not sys.stdout.isatty():
        time.sleep(seconds or 12.0)
        console.print(fleet_table(stations))
        return
    with Live(fleet_table(stations), console=console, auto_refresh=False) as live:
        while time.monotonic() < end:
            time.sleep(1.0)
            live.update(fleet_table(stations), refresh=True)


def fleet_table(stations: Fleet) -> Group:
    """Return the table of all stations, and a line for each warning.

    It fits a terminal of 80 columns: the time is without its day, each bundle has a line of its cell, and the warnings
    are below the table.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from ...runtime.fleet.page import COLUMNS, row_cells
    from ...runtime.system.address import printable_name

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in COLUMNS[:-1]:
        name = "fps" if heading == "frames/s" else heading
        table.add_column(name, no_wrap=heading in ("state", "bundles"), overflow="fold")
    rows = stations.rows()
    for row in rows:
        *cells, _ = row_cells(row)
        cells[2], cells[8] = cells[2][11:19] or cells[2], cells[8].replace(", ", "\n")
        table.add_row(*cells)
    lines = [Text(printable_name(f"{row.name}: {warning}")) for row in rows for warning in row.warnings]
    return Group(table, *lines) if rows else Group("no station has published anything yet")
