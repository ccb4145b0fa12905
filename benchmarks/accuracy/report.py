"""Tables and plots of `galaxy-edge eval`.

They are of a detector, and of both networks together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ...models.intervals import interval_text, wilson_interval
from ...models.markdown import markdown_table
from ...training.figures.detection_plots import score_calibration, score_curves
from ...training.scenes.evaluation_scenes import SITUATIONS
from .records.evaluation import BASELINES, DetectorResult, PipelineMetrics, PipelineSituation, SizedMetrics

HEADINGS = ("frames", "galaxies", "mAP@0.5", "mAP@.5:.95", "AR@1", "AR@10", "precision", "recall", "false per frame")
KEYS = ("map50", "map", "ar1", "ar10", "precision", "recall", "fp_per_frame")


def detector_table(result: DetectorResult) -> str:
    """Format the result of `evaluate_detector` as Markdown.

    There is a row for each situation, followed by its baselines.
    """
    rows = []
    for name in _ordered(result.situations):
        found = result.situations[name]
        counts = (str(found.frames), str(found.boxes))
        rows.append([f"**{SITUATIONS.get(name, name)}**", *counts, *(_cell(found, key) for key in KEYS)])
        for baseline, title in BASELINES.items():
            rows.append([title, "", "", *(_cell(found.baselines[baseline], key) for key in KEYS)])
    lines = markdown_table(["", *HEADINGS], rows)
    about = f"Precision, recall and false detections (per frame without galaxies) at score {result.threshold:.2f};"
    lines += [
        "",
        about,
        "baselines at thresholds of their own (a constant box has none). In brackets: 95 % intervals.",
        "",
        *_operating_counts(result),
        *_left_out(result),
        "",
        "Recall at the threshold by the side of a galaxy, as a share of the image's side",
        "",
    ]
    sizes = list(next(iter(result.situations.values())).sizes)
    rows = []
    for name in _ordered(result.situations):
        found = result.situations[name]
        if found.boxes:
            rows.append([f"**{SITUATIONS.get(name, name)}**", *(recall_cell(*found.sizes[size]) for size in sizes)])
            for baseline, title in BASELINES.items():
                rows.append([title, *(recall_cell(*found.baselines[baseline].sizes[size]) for size in sizes)])
    lines += markdown_table(["", *sizes], rows)
    return "\n".join(lines) + "\n"


def pipeline_table(result: Mapping[str, PipelineSituation]) -> str:
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
        rows.append(
            [f"**{SITUATIONS.get(name, name)}**", str(found.detector.galaxies), *_pipeline_cells(found.detector)]
        )
        rows += [[title, "", *_pipeline_cells(found.baselines[baseline])] for baseline, title in BASELINES.items()]
    about = "Baselines: the same classifier with their boxes. Right and lost: shares of galaxies with a class."
    return "\n".join([*markdown_table(headings, rows), "", about]) + "\n"


def _pipeline_cells(found: PipelineMetrics) -> list[str]:
    classes, groups = found.classes, found.groups
    lost = [getattr(classes, key, None) for key in ("right", "lost_unfound", "lost_by_frame", "lost_by_name")]
    shares = [_share(value) for value in (found.found, *lost, groups.right if groups else None)]
    for column, part in ((0, found), (1, classes), (-1, groups)):
        shares[column] += interval_text(part.interval if part else None)
    return shares


def write_report(result: DetectorResult, folder: Path) -> list[Path]:
    """Write the report's tables and plots to an existing folder.

    They are ``report.json``, ``report.md``, ``scores.png`` and ``calibration.png``.
    """
    (folder / "report.json").write_text(json.dumps(result.to_dict(), indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(detector_table(result), encoding="utf-8")
    score_curves(result.curves["levels"], result.threshold, folder / "scores.png")
    written = ["report.json", "report.md", "scores.png"]
    if result.curves["calibration"]:
        score_calibration(result.curves["calibration"], folder / "calibration.png")
        written.append("calibration.png")
    return [folder / name for name in written]


def _operating_counts(result: DetectorResult) -> list[str]:
    """Say how many objects the figures at the threshold are of.

    The text is empty where these are all objects.
    """
    counts = []
    for name in _ordered(result.situations):
        found, operating = result.situations[name], result.situations[name].operating
        if operating and operating.frames < found.frames:
            counts.append(f"{SITUATIONS.get(name, name)} {operating.frames} / {operating.boxes}")
    if not counts:
        return ["Precision and recall are of all frames."]
    about = "Precision and recall are of frames on which the threshold was not chosen (frames / galaxies)"
    return [f"{about}: {', '.join(counts)}; of others, all."]


def _cell(found: SizedMetrics, key: str) -> str:
    return _share(getattr(found, key)) + interval_text(found.intervals[key])


def _ordered(found: Mapping[str, object]) -> list[str]:
    return [name for name in SITUATIONS if name in found] + sorted(set(found) - set(SITUATIONS))


def _left_out(result: DetectorResult) -> list[str]:
    """Return a sentence on the survey frames that were left out.

    Empty if there are none.
    """
    if not result.swallowed:
        return []
    return [f"{result.swallowed} Galaxy Zoo frames are left out: their box holds a star or another galaxy too."]


def recall_cell(found: int, galaxies: int) -> str:
    """Return a recall with its interval and the number of galaxies.

    Empty without galaxies.
    """
    if not galaxies:
        return ""
    return f"{found / galaxies:.3f}{interval_text(wilson_interval(found, galaxies))} of {galaxies}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
