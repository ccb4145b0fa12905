"""`galaxy-edge devices`: this machine, its cameras and the device profiles."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from ..devices.probe import Machine
    from ..devices.profile import Profile

if TYPE_CHECKING:
    pass


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def devices(as_json: bool) -> None:
    """Show this machine, the cameras on it, and the device profiles."""
    from rich.console import Console

    from ..devices.probe import probe, select_profile
    from ..devices.profile import all_profiles

    machine = probe()
    fitting = select_profile(machine)
    if as_json:
        profiles = [profile.as_dict() for profile in all_profiles()]
        click.echo(json.dumps({"machine": machine.as_dict(), "profile": fitting.as_dict(), "profiles": profiles}))
        return
    console = Console()
    for line in machine_lines(machine):
        console.print(line, highlight=False)
    console.print(devices_table(all_profiles(), fitting.name))


def devices_table(profiles: Iterable[Profile], fitting: str) -> Table:
    """Lay out the device profiles; the one that fits this machine is marked."""
    from rich.table import Table

    table = Table("", "profile", "device", "engine", "threads", "verified", title="device profiles")
    for profile in profiles:
        table.add_row(
            "*" if profile.name == fitting else "",
            profile.name,
            profile.title,
            profile.engine,
            str(profile.threads),
            "yes" if profile.verified else "not verified on hardware",
        )
    return table


def machine_lines(machine: Machine) -> list[str]:
    """Describe a machine in a few lines."""
    engines = ", ".join(f"{name} {version}" for name, version in machine.engines.items()) or "none"
    memory = f", {machine.memory} MiB" if machine.memory else ""
    warmth = f", {machine.temperature:.0f} degrees C" if machine.temperature is not None else ""
    return [
        f"machine: {machine.model or machine.machine} ({machine.machine}), {machine.cores} cores{memory}{warmth}",
        f"python:  {machine.python}",
        f"engines: {engines}",
        f"cameras: {', '.join(machine.cameras) or 'none'}",
    ]
