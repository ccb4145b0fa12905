"""Tables and plots of `galaxy-edge eval`.

They are of a detector, and of both networks together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...models.intervals import interval_text
from ...models.markdown import markdown_table
from ...training.figures.detection_plots import score_calibration, score_curves

NAMES = {
    "gz_frames": "Galaxy Zoo frames",
    "gz_off_centre": "the same, off centre",
    "composed": "composed scenes",
    "deepsky_frames": "deep-sky photographs",
    "lco_messier": "LCO frames",
    "sdss_starfields": "star fields",
}
BASELINES = {
    "centre_box": "constant centre box",
    "sep": "SEP, extended sources",
    "sep_tuned": "SEP, filter and boxes fitted",
}
HEADINGS = ("frames", "galaxies", "mAP@0.5", "mAP@.5:.95", "AR@1", "AR@10", "precision", "recall", "false per frame")
KEYS = ("map50", "map", "ar1", "ar10", "precision", "recall", "fp_per_frame")


def detector_table(result: dict[str, Any]) -> str:
    """Format the result of `evaluate_detector` as Markdown.

    There is a row for each situation, followed by its baselines.
    """
    rows = []
    for name in _ordered(result["situations"]):
        found = result["situations"][name]
        counts = (str(found["frames"]), str(found["boxes"]))
        rows.append([f"**{NAMES.get(name, name)}**", *counts, *(_cell(found, key) for key in KEYS)])
        for baseline, title in BASELINES.items():
            rows.append([title, "", "", *(_cell(found[baseline], key) for key in KEYS)])
    lines = markdown_table(["", *HEADINGS], rows)
    about = f"Precision, recall and false detections (per frame without galaxies) at score {result['threshold']:.2f};"
    lines += [
        "",
        about,
        "baselines at any score. In brackets: 95 % intervals.",
        "",
        *_operating_counts(result),
        "",
        "mAP@0.5 by the side of a galaxy in the network's input",
        "",
    ]
    sizes = list(next(iter(result["situations"].values()))["sizes"])
    rows = []
    for name in _ordered(result["situations"]):
        found = result["situations"][name]
        if found["boxes"]:
            rows.append([f"**{NAMES.get(name, name)}**", *(_share(found["sizes"][size]) for size in sizes)])
            for baseline, title in BASELINES.items():
                rows.append([title, *(_share(found[baseline]["sizes"][size]) for size in sizes)])
    lines += markdown_table(["", *sizes], rows)
    return "\n".join(lines) + "\n"


def pipeline_table(result: dict[str, Any]) -> str:
    """Format the result of `evaluate_pipeline` as Markdown.

    There is a row for each situation, followed by its baselines.
    """
    headings = (
        "",
        "galaxies",
        "found",
        "right class",
        "not found",
        "lost by the box",
        "lost by the class",
        "right group",
    )
    rows = []
    for name in _ordered(result):
        found = result[name]
        rows.append([f"**{NAMES.get(name, name)}**", str(found["galaxies"]), *_pipeline_cells(found)])
        rows += [[title, "", *_pipeline_cells(found[baseline])] for baseline, title in BASELINES.items()]
    about = "Baselines: the same classifier with their boxes. Right and lost: shares of galaxies with a class."
    return "\n".join([*markdown_table(headings, rows), "", about]) + "\n"


def _pipeline_cells(found: dict[str, Any]) -> list[str]:
    classes, groups = found["classes"] or {}, found["groups"] or {}
    lost = (classes.get(key) for key in ("right", "lost_unfound", "lost_by_frame", "lost_by_name"))
    shares = [_share(value) for value in (found["found"], *lost, groups.get("right"))]
    for column, part in ((0, found), (1, classes), (-1, groups)):
        shares[column] += interval_text(part.get("interval"))
    return shares


def write_report(result: dict[str, Any], folder: Path) -> list[Path]:
    """Write the report's tables and plots to an existing folder.

    They are ``report.json``, ``report.md``, ``scores.png`` and ``calibration.png``.
    """
    (folder / "report.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(detector_table(result), encoding="utf-8")
    score_curves(result["curves"]["levels"], result["threshold"], folder / "scores.png")
    written = ["report.json", "report.md", "scores.png"]
    if result["curves"]["calibration"]:
        score_calibration(result["curves"]["calibration"], folder / "calibration.png")
        written.append("calibration.png")
    return [folder / name for name in written]


def _operating_counts(result: dict[str, Any]) -> list[str]:
    """Say how many objects the figures at the threshold are of.

    The text is empty where these are all objects.
    """
    counts = [
        f"{NAMES.get(name, name)} {found['operating']['frames']} / {found['operating']['boxes']}"
        for name, found in ((name, result["situations"][name]) for name in _ordered(result["situations"]))
        if found["operating"]["frames"] < found["frames"]
    ]
    if not counts:
        return ["At the score: all frames."]
    return [f"At the score, frames / galaxies on which the score was not chosen: {', '.join(counts)}; of others, all."]


def _cell(found: dict[str, Any], key: str) -> str:
    value, interval = found[key], found["intervals"][key]
    return _share(value) + interval_text(interval)


def _ordered(found: dict[str, Any]) -> list[str]:
    return [name for name in NAMES if name in found] + sorted(set(found) - set(NAMES))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
