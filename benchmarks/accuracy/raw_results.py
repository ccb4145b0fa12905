"""The section "Raw exposures" of the page of results.

Its lines in README.md are made too, all from saved results.

``raw-night.json`` is saved by ``galaxy-edge eval night --out``, ``raw-composites.json`` by ``eval composites --out``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...models.markdown import markdown_table
from .composites import composite_rows, false_text
from .night import night_rows

NIGHT, COMPOSITES = "raw-night.json", "raw-composites.json"
NIGHT_COLUMNS = ("frames in a stack", "object", "frames", "found", "share [95 %]", "false per frame [95 %]")
COMPOSITE_COLUMNS = ("mean signal, sigma", "galaxies", "detector [95 %]", "SEP [95 %]")


def raw_page(results: Path) -> list[str]:
    """Return the section as parts of a Markdown page; empty if nothing was saved."""
    night, composites = _read(results / NIGHT), _read(results / COMPOSITES)
    parts = ["\n## Raw exposures\n"] if night or composites else []
    if night:
        parts += [
            "Single exposures and stacks with known targets, through the same pipeline as `run`. A galaxy is found if "
            "a box holds its centre within a quarter of its sides from its middle. `galaxy-edge eval night`:\n",
            *markdown_table(NIGHT_COLUMNS, night_rows(night)),
        ]
    if composites:
        parts += ["", composites_text(composites), "", *markdown_table(COMPOSITE_COLUMNS, composite_rows(composites))]
    return parts


def raw_readme_lines(results: Path) -> list[str]:
    """Return the lines of README.md; empty if nothing was saved."""
    night, composites = _read(results / NIGHT), _read(results / COMPOSITES)
    lines = []
    if night:
        lines += [
            "Raw exposures of a smart telescope with known targets, alone and stacked (`galaxy-edge eval night`):",
            "",
            *markdown_table(NIGHT_COLUMNS, night_rows(night)),
            "",
        ]
    if composites:
        rows = composite_rows(composites)
        lines += [composites_text(composites), "", *markdown_table(COMPOSITE_COLUMNS, rows), ""]
    return lines


def composites_text(result: dict[str, Any]) -> str:
    """Describe the measurement, with the false detections of detector and SEP."""
    return (
        f"Galaxies that were not trained on, added in linear light to {result['exposures']} raw exposures whose skies "
        f"were not trained on, {result['frames']} frames in all; share found (IoU {result['min_iou']:g}), by mean "
        f"signal in standard deviations of a superpixel's noise. The detector has {false_text(result['detector'])}. "
        "SEP, its parameters fitted on other exposures, is compared at the same total of false detections "
        "(`galaxy-edge eval composites`):"
    )


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
