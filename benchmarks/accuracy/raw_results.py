"""The section "Raw exposures" of the page of results.

Its lines in README.md are made too, all from saved results.

``raw-night.json`` is saved by ``galaxy-edge eval night --out``, ``raw-composites.json`` by ``eval composites --out``.
"""

from __future__ import annotations

from pathlib import Path

from ...models.markdown import markdown_table
from .composites import composite_rows, false_text
from .night import night_rows
from .records.raw import CompositesResult, NightResult
from .records.reading import read_result

NIGHT, COMPOSITES = "raw-night.json", "raw-composites.json"
NIGHT_COLUMNS = ("frames in a stack", "object", "frames", "found", "share [95 %]", "false per frame [95 %]")
COMPOSITE_COLUMNS = ("mean signal, sigma", "galaxies", "detector [95 %]", "SEP [95 %]", "SEP, filter fitted [95 %]")


def raw_page(results: Path) -> list[str]:
    """Return the section as parts of a Markdown page; empty if nothing was saved."""
    night, composites = _night(results), _composites(results)
    parts = ["\n## Raw exposures\n"] if night or composites else []
    if night:
        parts += [
            f"Single exposures and stacks with known targets, through the same pipeline as `run`. {_limits(night)} A "
            "galaxy is found if a box holds its centre within a quarter of its sides from its middle. "
            "`galaxy-edge eval night`:\n",
            *markdown_table(NIGHT_COLUMNS, night_rows(night.depths)),
        ]
    if composites:
        parts += ["", composites_text(composites), "", *markdown_table(COMPOSITE_COLUMNS, composite_rows(composites))]
    return parts


def raw_readme_lines(results: Path) -> list[str]:
    """Return the lines of README.md; empty if nothing was saved."""
    night, composites = _night(results), _composites(results)
    lines = []
    if night:
        lines += [
            "Raw exposures of a smart telescope with known targets, alone and stacked (`galaxy-edge eval night`). "
            f"{_limits(night)}",
            "",
            *markdown_table(NIGHT_COLUMNS, night_rows(night.depths)),
            "",
        ]
    if composites:
        rows = composite_rows(composites)
        lines += [composites_text(composites), "", *markdown_table(COMPOSITE_COLUMNS, rows), ""]
    return lines


def _limits(night: NightResult) -> str:
    names = sorted({name for depth in night.depths for name in depth.galaxies})
    return (
        "The detector is that of raw frames, `galaxy-detector-raw`, not that of the tables above. The frames are of "
        f"one folder, with {', '.join(names) or 'no galaxy'}: an example, not a measure for other nights or galaxies. "
        "The interval is that of more exposures of the same field. Stacks overlap, so that they have no interval. The "
        "skies of the first frames of this night were used in training."
    )


def composites_text(result: CompositesResult) -> str:
    """Describe the measurement, with the false detections of detector and SEP."""
    return (
        f"Galaxies that were not trained on, added in linear light to {result.exposures} raw exposures whose skies "
        f"were not trained on, {result.frames} frames in all; share found (IoU {result.min_iou:g}), by mean "
        f"signal in standard deviations of a superpixel's noise. The detector has {false_text(result.detector)}. "
        "SEP, its parameters fitted on other exposures, and SEP with a filter and box sizes learned there are compared "
        "at the same total of false detections (`galaxy-edge eval composites`):"
    )


def _night(results: Path) -> NightResult | None:
    path = results / NIGHT
    return read_result(path, NightResult, "eval night") if path.exists() else None


def _composites(results: Path) -> CompositesResult | None:
    path = results / COMPOSITES
    return read_result(path, CompositesResult, "eval composites") if path.exists() else None
