"""`galaxy-edge doctor`: check the installation, devices and networks here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..options import ENGINES, FOLDER, PROFILE, Number


@click.command()
@click.option(
    "--out",
    "--output",
    "out",
    type=FOLDER,
    default=Path("galaxy-edge-out"),
    show_default=True,
    help="Output folder of the runs, whose disk is checked.",
)
@click.option("--models", type=FOLDER, help="Folder with the bundles of the runs.")
@click.option("--bundle", "bundles", type=FOLDER, multiple=True, help="Check this bundle; may be repeated.")
@click.option("--device", type=PROFILE, help="Name or TOML file of a device profile; default: this machine's.")
@click.option("--engine", type=ENGINES, help="Default: the device profile's.")
@click.option(
    "--seconds",
    type=Number(0, 3600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to time inferences.",
)
@click.option("--camera", metavar="SOURCE", help="Open this source as a run would, and read a frame.")
@click.option(
    "--camera-seconds",
    type=Number(1, 3600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time limit for the first frame of --camera.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(as_json: bool, **options: Any) -> None:
    """Check Python, engines, cameras, disk, clock and networks of this computer.

    Exit codes: 0 all that was exercised works, 1 something does not, 2 usage error.
    """
    from ...runtime.doctor.checks import DoctorConfig, run_checks
    from ...runtime.doctor.result import report
    from ...runtime.system.address import printable_name

    results = []
    for check in run_checks(DoctorConfig(**options)):
        results.append(check)
        if not as_json:
            click.echo(f"{check.status:<8}{check.name}: {printable_name(check.detail)}")
            if check.hint:
                click.echo(f"          -> {printable_name(check.hint)}")
    answer = report(results)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        failed = sum(check.exercised and check.status == "fail" for check in results)
        exercised = sum(check.exercised for check in results)
        click.echo(f"{exercised} of {len(results)} checks exercised; {failed} failed")
    raise SystemExit(0 if answer["ok"] else 1)
