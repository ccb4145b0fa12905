"""`galaxy-edge devices`: show this machine, its cameras and the device profiles."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from ..devices.probe import Machine
    from ..devices.profile import Profile


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def devices(as_json: bool) -> None:
    """Show this machine, its cameras with their formats and controls, and the device profiles."""
    from ..devices.probe import probe, select_profile
    from ..devices.profile import all_profiles
    from ..devices.v4l2.listing import describe_cameras
    from ..runtime.monitoring.console import PlainConsole

    machine = probe()
    selected = select_profile(machine)
    cameras = describe_cameras(machine.cameras)
    if as_json:
        profiles = [profile.as_dict() for profile in all_profiles()]
        described = [camera.as_dict() for camera in cameras]
        answer = {"machine": machine.as_dict(), "cameras": described, "profile": selected.as_dict()}
        click.echo(json.dumps({**answer, "profiles": profiles}))
        return
    console = PlainConsole()
    for line in machine_lines(machine):
        console.print(line, highlight=False)
    for camera in cameras:
        for line in camera.lines():
            click.echo(line)  # not wrapped: a line holds what an option may be
    console.print(devices_table(all_profiles(), selected.name))


def devices_table(profiles: Iterable[Profile], selected: str) -> Table:
    """Return the device profiles as a table, with the profile of this machine marked."""
    from rich.table import Table

    table = Table("", "profile", "device", "engine", "threads", "verified", title="device profiles")
    for profile in profiles:
        table.add_row(
            "*" if profile.name == selected else "",
            profile.name,
            profile.title,
            profile.engine,
            str(profile.threads),
            "yes" if profile.verified else "not verified on hardware",
        )
    return table


def machine_lines(machine: Machine) -> list[str]:
    """Return a description of a machine in four lines."""
    engines = ", ".join(f"{name} {version}" for name, version in machine.engines.items()) or "none"
    memory = f", {machine.memory} MiB" if machine.memory else ""
    temperature = f", {machine.temperature:.0f} degrees C" if machine.temperature is not None else ""
    return [
        f"machine: {machine.model or machine.machine} ({machine.machine}), {machine.cores} cores{memory}{temperature}",
        f"python:  {machine.python}",
        f"engines: {engines}",
        f"cameras: {', '.join(machine.cameras) or 'none'}",
    ]
