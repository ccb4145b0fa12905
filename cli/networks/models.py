"""`galaxy-edge models`: the sizes of the two networks."""

from __future__ import annotations

import json
from typing import Any

import click


@click.group()
def models() -> None:
    """List the sizes of the networks, with their measured figures."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_sizes(as_json: bool) -> None:
    """List the sizes of the networks, their costs and accuracy, and where they are installed.

    Costs are arm64 instructions of one inference, in millions. Accuracy is of the int8 variant on the test part of the
    data, with the 95 % interval: macro F1 of the classifier, AP50 of the detector on composed frames.
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

    table = Table("size", "network", "input", "MACs", "KiB", "A72", "A76", "accuracy", "installed")
    for size in SIZES:
        for network, row in figures.get(size, {}).items():
            table.add_row(size, network, *_cells(row), "yes" if found[size] else "no")
    PlainConsole().print(table)
    missing = [size for size in SIZES if not found[size] and size in figures]
    if missing:
        click.echo(
            f"not installed: {', '.join(missing)}. pip install galaxy-edge-models, or train them: docs/models.md"
        )


def _cells(row: dict[str, Any]) -> list[str]:
    accuracy = row["accuracy"]
    return [
        f"{row['input']} px",
        f"{row['macs'] / 1e6:.1f} M",
        f"{row['bytes'] / 1024:.0f}",
        *(f"{row['instructions'][core]:.1f} M" for core in ("cortex-a72", "cortex-a76")),
        f"{accuracy['metric']} {accuracy['value']:.3f} [{accuracy['low']:.3f} to {accuracy['high']:.3f}]",
    ]
