"""`galaxy-edge export` and `galaxy-edge bundle`: make a bundle that proves itself, look at it, sign it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError, require_extra
from .options import FILE, FOLDER, PATH

if TYPE_CHECKING:
    from ..export.bundle import ExportResult
    from ..export.settings import Settings


class GateFailed(UserError):
    """An export whose gates did not all pass."""


@click.command()
@click.option("--int8", is_flag=True, help="Make float32 and full int8 TFLite: the same as --formats tflite-int8.")
@click.option(
    "--formats",
    metavar="LIST",
    help="With commas: tflite-fp32, tflite-int8, tflite-postprocess, onnx-fp32, "
    "onnx-int8, edgetpu; or all. float32 TFLite is always among them, to measure against.",
)
@click.option("--from", "foreign", type=PATH, help="Wrap someone else's .tflite, .onnx or SavedModel instead of a run.")
@click.option("--task", type=click.Choice(["detector", "classifier"]), help="With --from: what the network is for.")
@click.option("--labels", type=FILE, help="With --from: class names, one a line.")
@click.option("--decode", type=FILE, help="With --from, an SSD without post-processing: TOML with its anchors.")
@click.option("--evaluation", type=FILE, help="With --from: .npz with labelled network inputs, to measure on.")
@click.option("--licence", help="With --from: the network's licence, e.g. Apache-2.0.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="With --from: where the data are from that it was trained on; can be given more than once.",
)
@click.option("--name", help="With --from: the bundle's name; default: as our own is called.")
@click.option(
    "--calibration",
    type=PATH,
    help="Folder of pictures, or .npz with images, to calibrate int8 on; "
    "default: a sample of the run's own training data.",
)
@click.option("--samples", type=click.IntRange(min=1), help="At most so many calibration pictures; default: all.")
@click.option(
    "--method",
    default="auto",
    show_default=True,
    help="How ranges are chosen: min-max, percentile, mse, "
    "entropy (ONNX only); auto: mse for TFLite, min-max for ONNX.",
)
@click.option(
    "--input-type",
    type=click.Choice(["uint8", "int8"]),
    default="uint8",
    show_default=True,
    help="What int8 TFLite takes.",
)
@click.option(
    "--output-type",
    type=click.Choice(["int8", "uint8"]),
    default="int8",
    show_default=True,
    help="What int8 TFLite gives.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="Points of accuracy (hundredths of mAP@0.5) that a form may lose; 3 times that of a class's recall.",
)
@click.option(
    "--rescue",
    type=click.Choice(["none", "auto"]),
    default="none",
    show_default=True,
    help="Try other methods, then 16-bit activations, where int8 loses too much.",
)
@click.option("--debug-layers", is_flag=True, help="Measure what every layer loses, and name the worst.")
@click.option("--report", type=FILE, help="Report, .html or .md; default: export-report.html in the run folder.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the draw of calibration pictures.")
@click.option("--out", type=FOLDER, help="The bundle's folder; default: inside the run folder.")
@click.option("--force", is_flag=True, help="Write the bundle even where a gate failed; it is marked as ungated.")
@click.option("--json", "as_json", is_flag=True, help="Print gates and metrics as JSON.")
@click.argument("run_dir", type=FOLDER, required=False)
def export(
    int8: bool,
    formats: str | None,
    foreign: Path | None,
    run_dir: Path | None,
    out: Path | None,
    report: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a bundle of the run in RUN_DIR, or of the file given with --from, or refuse to."""
    require_extra("tensorflow", "export")
    from rich.console import Console

    from ..export.errors import ExportUsage
    from ..export.report import check_report_path, write_report

    console = Console(stderr=as_json, markup=False)  # names and paths may hold brackets
    others = {key: options.pop(key) for key in ("task", "labels", "decode", "evaluation", "licence", "name", "sources")}
    settings = _settings(int8, formats, foreign is not None, **options)

    def say(message: str) -> None:
        console.print(message, highlight=False, soft_wrap=True)

    if (foreign is None) == (run_dir is None):
        raise ExportUsage("name a run folder, or a file with --from")
    if report:
        check_report_path(report)
    if foreign is not None:
        from ..export.third_party import import_model

        if out is None:
            raise ExportUsage("--from needs --out: the bundle's folder")
        result = import_model(foreign, out, say, settings, **others)
        place = report or out.parent / "export-report.html"
    else:
        from ..export.bundle import export_run as make_bundle

        assert run_dir is not None
        for key, value in others.items():
            if value:
                raise ExportUsage(f"--{'source' if key == 'sources' else key} goes with --from; a run knows it itself")
        result = make_bundle(run_dir, out, say, settings)
        place = report or run_dir / "export-report.html"
    _show(console, result, as_json)
    if result.bundle is not None:
        say(f"bundle: {result.bundle}" + ("" if result.passed else " (ungated)"))
    write_report(place, result)
    say(f"report: {place}")
    if result.bundle is None:
        raise GateFailed("a gate failed: no bundle was written")


def _settings(int8: bool, formats: str | None, foreign: bool, **options: Any) -> Settings:
    from ..export.errors import ExportUsage
    from ..export.settings import ALL, FORMATS, INT8, REFERENCE, Settings

    names = tuple(name.strip() for name in formats.split(",") if name.strip()) if formats else ()
    if not names and not int8 and not foreign:
        raise ExportUsage(f"say what to make: --int8, or --formats with some of {', '.join([*FORMATS, ALL])}")
    return Settings((*names, *(INT8 if int8 else () if foreign else (REFERENCE,))), **options)


def _show(console: Any, result: ExportResult, as_json: bool) -> None:
    """Print the gates, what every form costs, and what an Edge TPU would run."""
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    from ..export.report import variant_rows

    if as_json:
        gates = [{"gate": gate.name, "measured": gate.measured, "passed": gate.passed} for gate in result.gates]
        click.echo(
            json.dumps(
                {
                    "bundle": str(result.bundle) if result.bundle else None,
                    "ungated": not result.passed,
                    "gates": gates,
                    "metrics": result.measured.metrics,
                    "agreement": result.measured.agreement,
                    "export": result.manifest["export"],
                }
            )
        )
    table = Table("gate", "measured", "result")
    for gate in result.gates:
        table.add_row(gate.name, gate.measured, Text("passed", "green") if gate.passed else Text("failed", "red"))
    console.print(table)
    # On its side: on a screen of 80 columns six forms fit beside each other, ten metrics do not.
    heading, *rows = (list(column) for column in zip(*variant_rows(result), strict=True))
    forms = Table(heading[0], box=box.SIMPLE)
    for name in heading[1:]:
        forms.add_column(name, no_wrap=True, justify="right")
    for row in rows:
        forms.add_row(row[0].replace("_", " "), *row[1:])
    console.print(forms)
    about = result.manifest["export"]
    if "edgetpu" in about:
        told = about["edgetpu"]
        console.print(
            f"Edge TPU (estimate, not verified on hardware): {told['mapped']} of {told['operators']} "
            f"operators, {told['share_of_macs']:.1%} of the multiplications",
            highlight=False,
            soft_wrap=True,
        )
        for line in told["on_processor"]:
            console.print(f"  on the processor: {line}", highlight=False, soft_wrap=True)
        console.print(f"  to compile: {told['command']}", highlight=False, soft_wrap=True)
    if "rescue" in about:
        for name, how in about["rescue"].items():
            console.print(f"rescue of {name}: {how}", highlight=False, soft_wrap=True)
    if about.get("layers"):
        layers = Table(
            Column("layer", overflow="fold"),
            "operator",
            Column("relative error", justify="right"),
            Column("largest error", justify="right"),
            title="layers that lose most",
        )
        for layer in about["layers"][:15]:
            first = layer["layer"].split(";")[0]  # of what was fused into it; the report has all
            layers.add_row(first, layer["op"], f"{layer['relative']:.4f}", f"{layer['largest']:.4g}")
        console.print(layers)
