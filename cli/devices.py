"""`galaxy-edge devices`: show this machine, its cameras and the device profiles."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import FILE

if TYPE_CHECKING:
    from rich.table import Table

    from ..devices.probe import Machine
    from ..devices.profile import Profile
    from ..devices.v4l2.listing import CameraDescription


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def devices(context: click.Context, as_json: bool) -> None:
    """Show this machine, its cameras with formats and controls, and its profile."""
    if context.invoked_subcommand is None:
        _print_all(as_json)
    elif as_json:
        raise click.UsageError("--json belongs after the name of the command, e.g. devices show NAME --json")


@devices.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_profiles(as_json: bool) -> None:
    """List the device profiles."""
    from ..devices.probe import probe, select_profile
    from ..devices.profile import all_profiles
    from ..runtime.monitoring.console import PlainConsole

    if as_json:
        click.echo(json.dumps([profile.as_dict() for profile in all_profiles()]))
    else:
        PlainConsole().print(devices_table(all_profiles(), select_profile(probe(engines=False)).name))


@devices.command("show")
@click.argument("name", metavar="NAME|FILE", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show_profile(name: str | None, as_json: bool) -> None:
    """Show a device profile and what its claims rest on; default: this machine's."""
    from ..devices.probe import profile_for

    _print_profile(profile_for(name), as_json)


@devices.command("probe")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def probe_machine(as_json: bool) -> None:
    """Show this machine, its engines and cameras, and the profile that fits it."""
    from ..devices.probe import probe, select_profile
    from ..devices.v4l2.listing import describe_cameras

    machine = probe()
    selected, cameras = select_profile(machine), describe_cameras(machine.cameras)
    if as_json:
        described = [camera.as_dict() for camera in cameras]
        answer = {"machine": machine.as_dict(), "cameras": described, "libcamera": _libcamera()}
        click.echo(json.dumps(answer | {"profile": selected.name}))
        return
    _print_machine(machine, cameras)
    click.echo(f"profile: {selected.name}")


@devices.command("check")
@click.argument("file", type=FILE)
def check_profile(file: Path) -> None:
    """Check a TOML file with a device profile of your own."""
    from ..devices.profile import load_profile

    profile = load_profile(file)
    click.echo(f"{file} is a valid profile: {profile.name}, {profile.title}")


def _print_all(as_json: bool) -> None:
    from ..devices.probe import probe, select_profile
    from ..devices.profile import all_profiles
    from ..devices.v4l2.listing import describe_cameras

    machine = probe()
    selected, cameras = select_profile(machine), describe_cameras(machine.cameras)
    if as_json:
        profiles = [profile.as_dict() for profile in all_profiles()]
        described = [camera.as_dict() for camera in cameras]
        answer = {"machine": machine.as_dict(), "cameras": described, "libcamera": _libcamera()}
        click.echo(json.dumps({**answer, "profile": selected.as_dict(), "profiles": profiles}))
        return
    _print_machine(machine, cameras)
    click.echo(f"profile: {selected.name} ({selected.title}); devices list shows all")


def _print_machine(machine: Machine, cameras: Iterable[CameraDescription]) -> None:
    for line in machine_lines(machine):
        click.echo(line)
    for camera in cameras:
        for line in camera.lines():
            click.echo(line)  # not wrapped: a line holds what an option may be
    for number, model in enumerate(_libcamera()):
        click.echo(f"picamera2:{number}: {model}, by libcamera")


def _libcamera() -> list[str]:
    """Return the models of the cameras that Picamera2 finds.

    Most of them cannot be read as V4L2 cameras.
    """
    from ..runtime.doctor.cameras import libcamera_cameras

    return libcamera_cameras()[0] or []


def _print_profile(profile: Profile, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(profile.as_dict()))
        return
    rows = {
        "device": profile.title,
        "machine": ", ".join(profile.machine),
        "board": profile.model_contains or "any",
        "accelerator": " or ".join(profile.accelerator) or "none needed",
        "engine": ", else ".join((profile.engine, *profile.fallback)),
        "threads": profile.threads,
        "tiles, stack": f"{profile.tiles}, {profile.stack}",
        "memory limit": f"{profile.memory} MiB, of which an image may take a quarter" if profile.memory else "none",
        "throttles at": f"{profile.throttle} degrees C" if profile.throttle else "not known",
        "quota": f"{profile.quota} MiB of images in the output folder",
        "network": f"{profile.network}, where it is installed",
        "sources": ", ".join(profile.sources) or "not listed",
        "notes": profile.notes,
    }
    click.echo(profile.name)
    for label, value in rows.items():
        click.echo(f"  {label + ':':<14}{value}")
    for claim in profile.claims:
        click.echo(f"  - {claim.text} ({claim.evidence}: {claim.source})")


def devices_table(profiles: Iterable[Profile], selected: str) -> Table:
    """Return the device profiles as a table, with the profile of this machine marked."""
    from rich.table import Table

    table = Table(title="device profiles")
    for heading in ("", "profile", "device", "engine", "threads", "tested on it"):
        table.add_column(heading, no_wrap=heading in ("profile", "engine"))
    for profile in profiles:
        table.add_row(
            "*" if profile.name == selected else "",
            profile.name,
            profile.title,
            profile.engine,
            str(profile.threads),
            "yes" if profile.verified else "no",
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
