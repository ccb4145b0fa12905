"""`galaxy-edge models`: the sizes of the two networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..options import FOLDER


@click.group()
def models() -> None:
    """List the sizes of the networks, with their measured figures."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_sizes(as_json: bool) -> None:
    """List sizes of the networks: costs, accuracy, where they are installed.

    A run uses the size of its device's profile where it is installed; run --size chooses another.
    """
    from ...models.sizes import SIZES, measured_figures, size_folder

    figures = measured_figures()
    found = {size: size_folder(size) for size in SIZES}
    if as_json:
        sizes = [
            {"size": size, "folder": str(found[size]) if found[size] else None, "networks": figures.get(size, {})}
            for size in SIZES
        ]
        click.echo(json.dumps({"sizes": sizes}))
        return
    from rich.table import Table

    from ...runtime.monitoring.console import PlainConsole

    table = Table("size", "network", "px", "M MACs", "KiB", "M A72", "M A76", "accuracy")
    for size in SIZES:
        for network, row in figures.get(size, {}).items():
            table.add_row(size, network, *_cells(row))
    PlainConsole().print(table)
    click.echo("M A72, M A76: million instructions of an inference, emulated; A72: Raspberry Pi 4, A76: Pi 5.")
    click.echo(
        "accuracy, int8, [95 % interval]: macro F1 of classifiers on the test part, mAP@0.5 of detectors in composed "
        "scenes of held-out images."
    )
    for size in SIZES:
        click.echo(f"{size}: {_place(size, found[size])}")


@models.command("install")
@click.argument("size", type=click.Choice(["nano", "base"]))
@click.argument("bundles", nargs=-1, required=True, type=FOLDER, metavar="BUNDLE...")
def install_size(size: str, bundles: tuple[Path, ...]) -> None:
    """Install exported bundles as the networks of SIZE, for this user.

    A network that is not among BUNDLE... is taken from the package, so that a size is always complete. What was
    installed as this size before is replaced.
    """
    from ...models.bundle import Bundle
    from ...models.sizes import install

    folder = install(size, [Bundle.load(path) for path in bundles])
    click.echo(f"installed in {folder}; use it with: galaxy-edge run --size {size}")


def _place(size: str, folder: Path | None) -> str:
    from ...models.sizes import SHIPPED_SIZE

    if size == SHIPPED_SIZE:
        return "in this package"
    return f"in {folder}" if folder else "not installed; docs/models.md says how to install or train it"


def _cells(row: dict[str, Any]) -> list[str]:
    accuracy = row["accuracy"]
    return [
        str(row["input"]),
        f"{row['macs'] / 1e6:.1f}",
        f"{row['bytes'] / 1024:.0f}",
        *(f"{row['instructions'][core]:.1f}" for core in ("cortex-a72", "cortex-a76")),
        f"{accuracy['value']:.3f} [{accuracy['low']:.2f} {accuracy['high']:.2f}]",
    ]
