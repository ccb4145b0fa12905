"""`galaxy-edge export`: convert a network, run the gates, write a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError, require_extra
from .options import FILE, FOLDER, PATH, SEED_NUMBER, Number

if TYPE_CHECKING:
    from ..export.bundle import ExportResult
    from ..export.settings import Settings
    from ..runtime.monitoring.console import PlainConsole


class GateFailed(UserError):
    """Not all gates of an export passed."""


@click.command()
@click.option("--int8", is_flag=True, help="Make float32 and full int8 TFLite; same as --formats tflite-int8.")
@click.option(
    "--formats",
    metavar="LIST",
    help="Comma-separated: tflite-fp32, tflite-int8, tflite-postprocess, onnx-fp32, onnx-int8, edgetpu; or all. "
    "float32 TFLite is always included, as the reference.",
)
@click.option("--from", "foreign", type=PATH, help="Import a third-party .tflite, .onnx or SavedModel, not a run.")
@click.option("--task", type=click.Choice(["detector", "classifier"]), help="With --from: task of the network.")
@click.option("--labels", type=FILE, help="With --from: file of class names, one per line.")
@click.option(
    "--galaxy-class",
    metavar="NAME|INDEX",
    help="With --from, a network of several classes: the one that are galaxies; detections of the others are dropped.",
)
@click.option("--decode", type=FILE, help="With --from, an SSD without post-processing: TOML file with anchors.")
@click.option("--evaluation", type=FILE, help="With --from: .npz with labelled network inputs for the evaluation.")
@click.option("--licence", help="With --from: the network's licence, e.g. Apache-2.0.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="With --from: source of the network's training data; may be repeated.",
)
@click.option("--name", help="With --from: the bundle's name; default: galaxy-detector.")
@click.option(
    "--calibration",
    type=PATH,
    help="Folder of images, or .npz with images, for int8 calibration; default: a sample of the run's training data.",
)
@click.option("--samples", type=click.IntRange(min=1), help="Maximum number of calibration images; default: all.")
@click.option(
    "--method",
    default="auto",
    show_default=True,
    help="Calibration method: min-max, percentile, mse, entropy (ONNX only); auto: mse for TFLite, min-max for ONNX.",
)
@click.option(
    "--input-type",
    type=click.Choice(["uint8", "int8"]),
    default="uint8",
    show_default=True,
    help="Input type of int8 TFLite.",
)
@click.option(
    "--output-type",
    type=click.Choice(["int8", "uint8"]),
    default="int8",
    show_default=True,
    help="Output type of int8 TFLite.",
)
@click.option(
    "--max-drop",
    type=Number(0, 100),
    default=1.0,
    show_default=True,
    help="Maximum loss of a variant in percentage points of accuracy or mAP@0.5; 3 times that in a class's recall.",
)
@click.option(
    "--min-precision",
    type=Number(0, 1),
    default=0.9,
    show_default=True,
    help="Precision that a detector's threshold must have on the evaluation share: higher for fewer false detections.",
)
@click.option(
    "--fallback",
    type=click.Choice(["none", "auto"]),
    default="none",
    show_default=True,
    help="auto: try other methods, then 16-bit activations, if int8 loses too much.",
)
@click.option("--rescue", "rescue", type=click.Choice(["none", "auto"]), hidden=True)  # the old name of --fallback
@click.option("--debug-layers", is_flag=True, help="Measure the int8 error of every layer and list the largest.")
@click.option("--report", type=FILE, help="Report file, .html or .md; default: export-report.html in the run folder.")
@click.option(
    "--seed", type=SEED_NUMBER, default=1, show_default=True, help="Seed of the selection of calibration images."
)
@click.option("--out", type=FOLDER, help="The bundle's folder; default: inside the run folder.")
@click.option("--force", is_flag=True, help="Write the bundle even if a gate fails; it is marked as ungated.")
@click.option("--json", "as_json", is_flag=True, help="Print gates and metrics as JSON.")
@click.argument("run_dir", type=FOLDER, required=False)
# Long because the help has examples.
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
    """Make a bundle of a run, or of a file given with --from, if all gates pass.

    \b
    galaxy-edge export runs/detector --int8 --out my-models/galaxy-detector
    galaxy-edge export --from other.tflite --task detector --labels labels.txt --out my-models/galaxy-detector
    """
    require_extra("tensorflow", "export")
    from dataclasses import fields

    from ..export.bundle import export_run
    from ..export.errors import ExportUsage
    from ..export.report import check_report_path, write_report
    from ..export.third_party import ImportOptions, import_model
    from ..runtime.monitoring.console import PlainConsole

    names = [field.name for field in fields(ImportOptions)]
    given = {name: options.pop(name) for name in names}
    settings = build_settings(int8, formats, foreign is not None, **options)
    if (foreign is None) == (run_dir is None):
        raise ExportUsage("name a run folder, or a file with --from")
    if report:
        check_report_path(report)
    if foreign is not None:
        if out is None:
            raise ExportUsage("--from needs --out: the bundle's folder")
        result = import_model(foreign, out, settings, ImportOptions(**given))
        path = report or out.parent / "export-report.html"
    else:
        assert run_dir is not None
        for name, value in given.items():
            if value:
                flag = "source" if name == "sources" else name.replace("_", "-")
                raise ExportUsage(f"--{flag} needs --from; the record of a run contains it")
        result = export_run(run_dir, out, settings)
        path = report or run_dir / "export-report.html"
    console = PlainConsole(stderr=as_json)
    if as_json:
        click.echo(json.dumps(_as_json(result)))
    _show(console, result)
    if result.bundle is not None:
        _print(console, f"bundle: {result.bundle}" + ("" if result.passed else " (ungated)"))
    write_report(path, result)
    _print(console, f"report: {path}")
    _finish(console, result)


def _finish(console: PlainConsole, result: ExportResult) -> None:
    """Print what to do about a network that lost too much or finds nothing.

    Raises:
        GateFailed: no bundle was written. The message names the gates.
    """
    from ..models.metrics import DetectionMetrics
    from .terminal.advice import gate_advice, nothing_found

    metrics = [found for found in result.evaluation.metrics.values() if isinstance(found, DetectionMetrics)]
    map50 = metrics[0].map50 if metrics else None  # float32 is the first variant
    failed = [gate for gate in result.gates if not gate.passed]
    if result.bundle is not None:
        for line in gate_advice(failed, map50) or filter(None, [nothing_found(map50)]):
            _print(console, f"note: {line}")
        return
    names = "; ".join(f"{gate.name} ({gate.measured})" for gate in failed)
    advice = "; ".join([*gate_advice(failed, map50), "--force writes the bundle all the same, marked as ungated"])
    number = "1 gate" if len(failed) == 1 else f"{len(failed)} gates"
    raise GateFailed(f"no bundle was written, as {number} of {len(result.gates)} failed: {names}. What to do: {advice}")


def build_settings(
    int8: bool, formats: str | None, foreign: bool, fallback: str, rescue: str | None, **options: Any
) -> Settings:
    from ..export.errors import ExportUsage
    from ..export.settings import ALL, FORMATS, INT8, REFERENCE, Settings

    names = tuple(name.strip() for name in formats.split(",") if name.strip()) if formats else ()
    if not names and not int8 and not foreign:
        raise ExportUsage(f"choose what to make: --int8, or --formats with some of {', '.join([*FORMATS, ALL])}")
    default = INT8 if int8 else () if foreign else (REFERENCE,)
    return Settings((*names, *default), fallback=rescue or fallback, **options)


def _as_json(result: ExportResult) -> dict[str, Any]:
    return {
        "bundle": str(result.bundle) if result.bundle else None,
        "ungated": not result.passed,
        "gates": [{"gate": gate.name, "measured": gate.measured, "passed": gate.passed} for gate in result.gates],
        "metrics": result.evaluation.metric_tables(),
        "agreement": {name: found.to_dict() for name, found in result.evaluation.agreement.items()},
        "export": result.manifest.export,
    }


def _show(console: PlainConsole, result: ExportResult) -> None:
    """Print gates, variants, the mapping to an Edge TPU, fallbacks and layer errors."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ..export.report import variant_rows

    table = Table("gate", "measured", "result")
    for gate in result.gates:
        table.add_row(gate.name, gate.measured, Text("passed", "green") if gate.passed else Text("failed", "red"))
    console.print(table)
    # Transposed: 80 columns have room for six variants, but not for ten metrics.
    heading, *rows = (list(column) for column in zip(*variant_rows(result), strict=True))
    variants = Table(heading[0], box=box.SIMPLE)
    for name in heading[1:]:
        variants.add_column(name, no_wrap=True, justify="right")
    for row in rows:
        variants.add_row(row[0].replace("_", " "), *row[1:])
    console.print(variants)
    record = result.manifest.export
    if "edgetpu" in record:
        _show_edgetpu(console, record["edgetpu"])
    for name, choice in record.get("rescue", {}).items():
        _print(console, f"fallback for {name}: {choice}")
    if record.get("layers"):
        _show_layers(console, record["layers"])


def _show_edgetpu(console: PlainConsole, mapping: dict[str, Any]) -> None:
    _print(
        console,
        f"Edge TPU (estimate, not verified on hardware): {mapping['mapped']} of {mapping['operators']} operators, "
        f"{mapping['share_of_macs']:.1%} of the multiplications",
    )
    for line in mapping["on_processor"]:
        _print(console, f"  on the processor: {line}")
    _print(console, f"  to compile: {mapping['command']}")


def _show_layers(console: PlainConsole, layers: list[dict[str, Any]]) -> None:
    from rich.table import Column, Table

    table = Table(
        Column("layer", overflow="fold"),
        "operator",
        Column("relative error", justify="right"),
        Column("largest error", justify="right"),
        title="layers with the largest errors",
    )
    for layer in layers[:15]:
        name = layer["layer"].split(";")[0]  # the first of the layers that were fused; the report lists all
        table.add_row(name, layer["op"], f"{layer['relative']:.4f}", f"{layer['largest']:.4g}")
    console.print(table)


def _print(console: PlainConsole, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)
