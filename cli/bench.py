"""`galaxy-edge bench`: measure latency, and compare two machines."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..errors import UsageError
from ..runtime.inference.bundles import CLASSIFIER, DETECTOR, load_bundle
from .options import FILE, FOLDER


@click.group(invoke_without_command=True)
@click.option("--models", type=FOLDER, help="Folder with the two bundles; default: the shipped ones.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=50, show_default=True, help="Inferences per configuration."
)
@click.option("--out", type=FILE, default=Path("bench.json"), show_default=True, help="JSON file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON as well.")
@click.pass_context
def bench(context: click.Context, models: Path | None, rounds: int, out: Path, as_json: bool) -> None:
    """Measure latency: both bundles, every installed engine, one and two threads."""
    if context.invoked_subcommand:
        return
    from ..benchmarks.performance.latency import bench as measure
    from ..benchmarks.performance.tables import bench_table
    from ..devices.probe import probe
    from ..runtime.inference.load import available_engines
    from ..runtime.monitoring.console import PlainConsole
    from .terminal.progress_bar import ProgressBar

    bundles = [load_bundle(models, name) for name in (DETECTOR, CLASSIFIER)]
    try:
        out.touch()
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from None
    with ProgressBar("rounds") as progress:
        result = measure(bundles, available_engines(), (1, 2), rounds, probe(), progress)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if as_json:
        click.echo(json.dumps(result))
    console = PlainConsole(stderr=as_json)
    console.print(bench_table(result))
    console.print(f"written to {out}", highlight=False, soft_wrap=True)


@bench.command("compare")
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def bench_compare(first: Path, second: Path, as_json: bool) -> None:
    """Compare two benchmark files: the ratios SECOND / FIRST, e.g. device / desktop."""
    from ..benchmarks.performance.compare import compare, read_bench
    from ..benchmarks.performance.tables import compare_table
    from ..runtime.monitoring.console import PlainConsole

    baseline, compared = read_bench(first), read_bench(second)
    rows = compare(baseline, compared)
    if as_json:
        click.echo(json.dumps(rows))
    else:
        PlainConsole().print(compare_table(baseline, compared, rows))
