"""The report of an export, for people: one HTML page with everything in it, or Markdown."""

from __future__ import annotations

import base64
import html
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..models.markdown import markdown_table
from .errors import ExportError, ExportUsage
from .evaluation import reference_variant

if TYPE_CHECKING:
    from .bundle import ExportResult

METRICS = {
    "classify": ("accuracy", "macro_f1", "coarse_accuracy", "ece"),
    "detect": ("map50", "map", "precision", "recall", "fp_per_frame"),
}
SUFFIXES = (".html", ".htm", ".md")
COLUMNS = 4
AGREEMENT = {"classify": ("agreement", "max_difference"), "detect": ("matched", "score_correlation")}
STYLE = """body{font:15px/1.45 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.6em 0 1.6em}td,th{border:1px solid #bbb;padding:.25em .6em;text-align:left}
th{background:#eee}.failed{background:#f6c6c6}.passed{background:#d4efd4}figure{display:inline-block;margin:.4em}
figcaption{font-size:12px;max-width:192px}img{image-rendering:pixelated;width:192px}"""

Rows = list[tuple[str, ...]]


def variant_rows(result: ExportResult) -> Rows:
    """Tabulate the forms: heading first, then size, metrics, drop and agreement of each."""
    task = result.manifest["task"]
    main, keys, alike = METRICS[task][0], METRICS[task], AGREEMENT[task]
    first = reference_variant(list(result.sizes))
    before = result.measured.metrics.get(first, {}).get(main)
    rows: Rows = [("form", "KiB", *keys, f"drop of {main}", *alike)]
    for name, size in result.sizes.items():
        found, same = result.measured.metrics.get(name, {}), result.measured.agreement.get(name, {})
        drop = None if name == first or before is None or found.get(main) is None else before - found[main]
        rows.append(
            (
                name,
                f"{size / 1024:.0f}",
                *(_number(found.get(key)) for key in keys),
                _number(drop),
                *(_number(same.get(key)) for key in alike),
            )
        )
    return rows


def check_report_path(path: Path) -> None:
    """See that a report can be written to a place, before the work of an export is done.

    Raises:
        ExportUsage: it cannot.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ExportUsage(f"{path}: a report is {' or '.join(SUFFIXES)}")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ExportUsage(f"{path} cannot be written; name another --report")


def write_report(path: Path, result: ExportResult) -> None:
    """Write the report beside its place, then rename it there: Markdown, with a picture of the examples, or HTML.

    Raises:
        ExportError: it cannot be written.
    """
    files = {path: html_report(result).encode()}
    if path.suffix.lower() == ".md":
        picture = path.with_name(f"{path.stem}-examples.png")
        sheet = _sheet(result)
        files = {picture: sheet} if sheet else {}
        files[path] = markdown_report(result, picture.name if sheet else None).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for place, content in files.items():
            part = place.with_name(f".{place.name}.part")
            part.write_bytes(content)
            os.replace(part, place)
    except OSError as problem:
        raise ExportError(f"{path} cannot be written: {problem.strerror}; name another --report") from None


def html_report(result: ExportResult) -> str:
    """Write the report as one HTML page: no script, no link, pictures inside."""
    parts = [f"<h1>Export of {html.escape(result.manifest['name'])}</h1>", f"<p>{html.escape(_summary(result))}</p>"]
    for title, rows in _sections(result):
        body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows[1:])
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
        parts.append(f"<h2>{html.escape(title)}</h2><table><tr>{head}</tr>{body}</table>")
    if result.examples:
        parts.append("<h2>Examples</h2>")
    for picture, caption in result.examples:
        done, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        data = base64.b64encode(content.tobytes()).decode("ascii") if done else ""
        parts.append(
            f'<figure><img alt="" src="data:image/png;base64,{data}"><figcaption>{html.escape(caption)}'
            "</figcaption></figure>"
        )
    title = html.escape(result.manifest["name"])
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Export of {title}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def markdown_report(result: ExportResult, picture: str | None = None) -> str:
    """Write the report as Markdown; `picture` is a file beside it that shows the examples, in rows of four."""
    lines = [f"# Export of {result.manifest['name']}", "", _summary(result), ""]
    for title, rows in _sections(result):
        lines += [f"## {title}", "", *markdown_table(rows[0], rows[1:]), ""]
    if picture:
        lines += ["## Examples", "", f"![Examples, in rows of {COLUMNS}]({picture})", ""]
        lines += [f"{number}. {caption}" for number, (_, caption) in enumerate(result.examples, 1)]
        lines.append("")
    return "\n".join(lines)


def _sheet(result: ExportResult) -> bytes | None:
    """Lay the example pictures, which are all of one size, beside each other; PNG."""
    pictures = [picture for picture, _ in result.examples]
    if not pictures:
        return None
    pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % COLUMNS)
    rows = [np.hstack(pictures[start : start + COLUMNS]) for start in range(0, len(pictures), COLUMNS)]
    return cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))[1].tobytes()


def _sections(result: ExportResult) -> list[tuple[str, Rows]]:
    about = result.manifest["export"]
    gates: Rows = [("gate", "measured", "result")]
    gates += [(gate.name, gate.measured, "passed" if gate.passed else "failed") for gate in result.gates]
    sections = [("Gates", gates), ("Forms", variant_rows(result))]
    for name, metrics in result.measured.metrics.items():
        if "confusion" in metrics:
            sections.append((f"Confusion matrix of {name}: rows are the truth", _confusion(result, metrics)))
    if "edgetpu" in about:
        told = about["edgetpu"]
        rows: Rows = [
            ("what", "value"),
            ("operators mapped", f"{told['mapped']} of {told['operators']}"),
            ("share of multiplications", f"{told['share_of_macs']:.1%}"),
        ]
        rows += [("on the processor", line) for line in told["on_processor"]] + [("to compile", told["command"])]
        sections.append(("Edge TPU: an estimate from the table of supported operations", rows))
    if about.get("layers"):
        layers: Rows = [("layer", "operator", "relative error", "largest error")]
        layers += [
            (one["layer"], one["op"], _number(one["relative"]), _number(one["largest"])) for one in about["layers"]
        ]
        sections.append(("Layers that lose most in int8", layers))
    made: Rows = [
        ("what", "value"),
        ("method", f"{about['method']} (TFLite), {about['onnx_method']} (ONNX)"),
        *((f"rescue of {name}", how) for name, how in about.get("rescue", {}).items()),
        ("calibration", f"{about['calibration']['pictures']} pictures, {about['calibration']['source']}"),
    ]
    made += [(package, version) for package, version in about["versions"].items()]
    return [*sections, ("How it was made", made)]


def _confusion(result: ExportResult, metrics: dict[str, Any]) -> Rows:
    classes = result.manifest["classes"]
    rows: Rows = [("", *classes, "recall")]
    for name, counts in zip(classes, metrics["confusion"], strict=True):
        rows.append((name, *map(str, counts), _number(metrics["recall"][name])))
    return rows


def _summary(result: ExportResult) -> str:
    failed = [gate.name for gate in result.gates if not gate.passed]
    if not failed:
        return "Every gate passed."
    forced = "the bundle was written by force and is marked as ungated" if result.bundle else "no bundle was written"
    return f"Failed: {', '.join(failed)}; {forced}."


def _cell(text: str) -> str:
    kind = f' class="{text}"' if text in ("passed", "failed") else ""
    return f"<td{kind}>{html.escape(text)}</td>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
