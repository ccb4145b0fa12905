"""All forms of bundles beside each other: what each costs in bytes, accuracy and time.

Metrics, drop and agreement are those that the export measured and the manifest holds; latency is measured here, with
one thread, all forms taking turns in one run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..devices.probe import Machine
from ..errors import UserError
from ..models.bundle import Bundle
from ..runtime.engine import installed
from .latency import bench

METRICS = {"classify": ("accuracy", "macro_f1"), "detect": ("map50", "map")}
AGREEMENT = {"classify": ("agreement",), "detect": ("matched", "score_correlation")}
REFERENCE = "fp32"


class FormsError(UserError):
    """A comparison that cannot be written."""


def compare_forms(
    bundles: Sequence[Bundle], rounds: int, machine: Machine, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Gather what every form of every bundle costs.

    Returns:
        Plain values for JSON: those of `latency.bench`, each result with its metrics, the drop of each against
        float32, and its agreement with it. What was not measured is None.
    """
    result = bench(bundles, installed(), (1,), rounds, machine, progress)
    by_hash = {bundle.hash: bundle for bundle in bundles}
    for row in result["results"]:
        manifest = by_hash[row["hash"]].manifest
        found, before = (manifest["metrics"].get(name, {}) for name in (row["variant"], REFERENCE))
        for key in METRICS[manifest["task"]]:
            row[key] = found.get(key)
            known = key in found and key in before and row["variant"] != REFERENCE
            row[f"{key}_drop"] = before[key] - found[key] if known else None
        for key in AGREEMENT[manifest["task"]]:
            row[key] = found.get("parity", {}).get(key)
        row["task"] = manifest["task"]
    return result


def write_forms(path: Path, result: dict[str, Any]) -> None:
    """Write a comparison beside its place, then rename it there: ``.json``, or Markdown.

    Raises:
        FormsError: it cannot be written.
    """
    text = json.dumps(result, indent=1) + "\n" if path.suffix.lower() == ".json" else forms_page(result)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as problem:
        raise FormsError(f"{path} cannot be written: {problem.strerror}") from None


def forms_page(result: dict[str, Any]) -> str:
    """Lay out a comparison as Markdown: a table for each bundle."""
    machine = result["machine"]
    name = machine["model"] or f"{machine['machine']}, {machine['cores']} cores"
    lines = [f"Measured by `galaxy-edge bundle forms`, version {result['version']}, {result['time']}, on {name}: "
             f"one thread, {result['rounds']} rounds in turns. Figures of one machine say nothing about another's.", ""]
    for bundle in dict.fromkeys((row["bundle"], row["hash"]) for row in result["results"]):
        rows = [row for row in result["results"] if (row["bundle"], row["hash"]) == bundle]
        task = rows[0]["task"]
        keys = [one for key in METRICS[task] for one in (key, f"{key}_drop")] + list(AGREEMENT[task])
        heading = ["form", "engine", "KiB", *(key.replace("_", " ") for key in keys), "min ms", "median ms"]
        lines += [f"### {bundle[0]} ({bundle[1][:12]})", "", "| " + " | ".join(heading) + " |",
                  "| --- | --- |" + " ---: |" * (len(heading) - 2)]
        for row in rows:
            cells = [row["variant"], row["engine"], f"{row['bytes'] / 1024:.0f}"]
            cells += ["-" if row[key] is None else f"{row[key]:.4f}" for key in keys]
            lines.append("| " + " | ".join([*cells, f"{row['min_ms']:.2f}", f"{row['median_ms']:.2f}"]) + " |")
        lines.append("")
    return "\n".join(lines)
