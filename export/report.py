"""Write the report of an export: one self-contained HTML page, or Markdown."""

from __future__ import annotations

import base64
import html
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import write_atomic
from ..models.markdown import markdown_table, markdown_text
from ..models.metrics import ClassificationMetrics
from ..runtime.imaging.encoding import encode_image
from .errors import ExportError, ExportUsage
from .evaluation import reference_variant

if TYPE_CHECKING:
    from .bundle import ExportResult
    from .examples import Example

METRICS = {
    "classify": ("accuracy", "macro_f1", "coarse_accuracy", "ece"),
    "detect": ("map50", "map", "precision", "recall", "fp_per_frame"),
}
SUFFIXES = (".html", ".htm", ".md")
COLUMNS = 4
AGREEMENT = {"classify": ("agreement", "max_difference"), "detect": ("matched", "score_correlation")}
STYLE = """body{font:15px/1.45 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}
body{overflow-wrap:anywhere}
.table{overflow-x:auto;margin:.6em 0 1.6em}table{border-collapse:collapse;overflow-wrap:normal}
td,th{border:1px solid #bbb;padding:.25em .6em;text-align:left}
th{background:#eee}.failed{background:#f6c6c6}.passed{background:#d4efd4}
.examples{display:grid;grid-template-columns:repeat(auto-fill,minmax(160px,1fr));gap:12px}figure{margin:0}
figcaption{font-size:12px}figcaption b{padding:0 .3em}img{image-rendering:pixelated;width:100%;max-width:256px}"""

Rows = list[tuple[str, ...]]


def variant_rows(result: ExportResult) -> Rows:
    """Return a table of the variants.

    After the heading it has size, metrics, drop and agreement of each variant.
    """
    task = result.manifest.task
    main, keys, agreement_keys = METRICS[task][0], METRICS[task], AGREEMENT[task]
    reference = reference_variant(list(result.sizes))
    before = getattr(result.evaluation.metrics.get(reference), main, None)
    rows: Rows = [("variant", "KiB", *keys, f"drop of {main}", *agreement_keys)]
    for name, size in result.sizes.items():
        metrics, agreement = result.evaluation.metrics.get(name), result.evaluation.agreement.get(name)
        after = getattr(metrics, main, None)
        drop = None if name == reference or before is None or after is None else before - after
        rows.append(
            (
                name,
                f"{size / 1024:.0f}",
                *(_number(getattr(metrics, key, None)) for key in keys),
                _number(drop),
                *(_number(getattr(agreement, key, None)) for key in agreement_keys),
            )
        )
    return rows


def check_report_path(path: Path) -> None:
    """Check that a report can be written to `path`, before the export begins.

    Raises:
        ExportUsage: it cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ExportUsage(f"{path}: the name of a report must end in {' or '.join(SUFFIXES)}")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ExportUsage(f"{path} cannot be written: choose another --report")


def write_report(path: Path, result: ExportResult) -> None:
    """Write the report as HTML, or as Markdown with an image file of the examples.

    Each file is replaced atomically.

    Raises:
        ExportError: it cannot be written.
    """
    files = {path: html_report(result).encode()}
    if path.suffix.lower() == ".md":
        image = path.with_name(f"{path.stem}-examples.png")
        sheet = _contact_sheet(result)
        files = {image: sheet} if sheet else {}
        files[path] = markdown_report(result, image.name if sheet else None).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            write_atomic(file, content)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}; choose another --report") from None


def html_report(result: ExportResult) -> str:
    """Return the report as one HTML page, with its images embedded.

    It has no scripts and no links.
    """
    parts = [f"<h1>Export of {html.escape(result.manifest.name)}</h1>", f"<p>{html.escape(_summary(result))}</p>"]
    for title, rows in _sections(result):
        body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows[1:])
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
        parts.append(f"<h2>{html.escape(title)}</h2>")
        parts.append(f'<div class="table"><table><tr>{head}</tr>{body}</table></div>')
    if result.examples:
        parts += ["<h2>Examples</h2>", '<div class="examples">', *map(_figure, result.examples), "</div>"]
    title = html.escape(result.manifest.name)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>Export of {title}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def markdown_report(result: ExportResult, image: str | None = None) -> str:
    """Return the report as Markdown.

    `image` is the name of a file with the examples, in rows of four.
    """
    lines = [f"# Export of {markdown_text(result.manifest.name)}", "", _summary(result), ""]
    for title, rows in _sections(result):
        lines += [f"## {title}", "", *markdown_table(*_markdown_cells(rows)), ""]
    if image:
        lines += ["## Examples", "", f"![Examples, in rows of {COLUMNS}]({image})", ""]
        lines += [
            f"{number}. {markdown_text('; '.join((*example.lines, example.verdict)))}"
            for number, example in enumerate(result.examples, 1)
        ]
        lines.append("")
    return "\n".join(lines)


def _markdown_cells(rows: Rows) -> tuple[list[str], list[list[str]]]:
    heading, *body = ([markdown_text(cell) for cell in row] for row in rows)
    return heading, body


def _contact_sheet(result: ExportResult) -> bytes | None:
    """Return the example images, which have one size, in rows, as PNG.

    The result is None if there are none.
    """
    images = [example.image for example in result.examples]
    if not images:
        return None
    images += [np.zeros_like(images[0])] * (-len(images) % COLUMNS)
    rows = [np.hstack(images[start : start + COLUMNS]) for start in range(0, len(images), COLUMNS)]
    return encode_image(np.vstack(rows))


def _sections(result: ExportResult) -> list[tuple[str, Rows]]:
    record = result.manifest.export
    gates: Rows = [("gate", "measured", "result")]
    gates += [(gate.name, gate.measured, "passed" if gate.passed else "failed") for gate in result.gates]
    sections = [("Gates", gates), ("Variants", variant_rows(result))]
    for name, metrics in result.evaluation.metrics.items():
        if isinstance(metrics, ClassificationMetrics):
            sections.append((f"Confusion matrix of {name}: rows are the truth", _confusion(result, metrics)))
    if "edgetpu" in record:
        mapping = record["edgetpu"]
        rows: Rows = [
            ("item", "value"),
            ("operators mapped", f"{mapping['mapped']} of {mapping['operators']}"),
            ("share of multiplications", f"{mapping['share_of_macs']:.1%}"),
        ]
        rows += [("on the processor", line) for line in mapping["on_processor"]] + [("to compile", mapping["command"])]
        sections.append(("Edge TPU: an estimate from the table of supported operations", rows))
    if record.get("layers"):
        layers: Rows = [("layer", "operator", "relative error", "largest error")]
        layers += [
            (layer["layer"], layer["op"], _number(layer["relative"]), _number(layer["largest"]))
            for layer in record["layers"]
        ]
        sections.append(("Layers with the largest int8 errors", layers))
    details: Rows = [
        ("item", "value"),
        ("method", f"{record['method']} (TFLite), {record['onnx_method']} (ONNX)"),
        *((f"fallback for {name}", choice) for name, choice in record.get("rescue", {}).items()),
        ("calibration", f"{record['calibration']['pictures']} images, {record['calibration']['source']}"),
    ]
    details += [(package, version) for package, version in record["versions"].items()]
    return [*sections, ("Conversion", details)]


def _confusion(result: ExportResult, metrics: ClassificationMetrics) -> Rows:
    classes = result.manifest.classes
    rows: Rows = [("", *classes, "recall")]
    for name, counts in zip(classes, metrics.confusion, strict=True):
        rows.append((name, *map(str, counts), _number(metrics.recall[name])))
    return rows


def _summary(result: ExportResult) -> str:
    failed = [gate.name for gate in result.gates if not gate.passed]
    if not failed:
        return "Every gate passed."
    outcome = "the bundle was written because of --force and is marked as ungated"
    return f"Failed: {', '.join(failed)}; {outcome if result.bundle else 'no bundle was written'}."


def _figure(example: Example) -> str:
    data = base64.b64encode(encode_image(example.image)).decode("ascii")
    kind = "passed" if example.right[-1:] == (True,) else "failed"
    lines = "<br>".join(map(html.escape, example.lines))
    return (
        f'<figure><img alt="" src="data:image/png;base64,{data}"><figcaption>{lines}<br>'
        f'<b class="{kind}">{html.escape(example.verdict)}</b></figcaption></figure>'
    )


def _cell(text: str) -> str:
    kind = f' class="{text}"' if text in ("passed", "failed") else ""
    return f"<td{kind}>{html.escape(text)}</td>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
