"""The table of a comparison of detectors, which needs no TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...models.markdown import markdown_table

MEASURED = {
    "map50": "mAP@0.5",
    "map": "mAP@[.5:.95]",
    "map50_gz_frames": "Galaxy Zoo frames",
    "map50_gz_off_centre": "the same, off centre",
    "map50_composed": "composed scenes",
    "map50_deepsky_frames": "deep-sky photographs",
    "threshold": "threshold",
    "precision": "precision",
    "recall": "recall",
}
"""The metrics of a row, with their headings; those of a kind of frames are mAP@0.5."""


def comparison_table(found: dict[str, Any]) -> str:
    """Format the content of ``comparison.json`` as Markdown.

    See `detector_comparison.compare_detectors`.
    """
    budget, rows = found["about"]["budget"], found["rows"]
    scenes, hours = budget["scenes"], budget["core_hours"]
    limit = f"{scenes:,} scenes each" if scenes is not None else f"{hours:g} core-hours each"
    longest = max((used for row in rows for used in row["core_hours"]), default=0.0)
    if hours is not None and longest > hours:  # an epoch may take longer than the one that was measured
        limit += f" by the speed measured first (the longest took {longest:.2f})"
    ended, runs = sum(row["ended_by_limit"] for row in rows), sum(len(row["seeds"]) for row in rows)
    ends = f"The limit ended {ended} of the {runs} runs, which were not trained until convergence."
    if not ended:
        ends = "All runs ended before, because the validation score no longer rose."
    images = ", ".join(map(str, sorted({count for row in rows for count in row["images"]})))
    measured = (
        f"Every seed holds other images out ({images}), on which its network is measured: mean and standard deviation "
        "over the seeds."
    )
    if all(len(row["seeds"]) == 1 for row in rows):
        measured = (
            f"Each is measured on images that were held out ({images}), and was trained once: how much another seed "
            "would differ is not known."
        )
    about = (
        f"From random weights, at most {limit}, as float32. {ends} {measured} Precision and recall are those at "
        "the network's own threshold, which is chosen on one half of the frames (the best F1 with a precision of at "
        "least 0.9 and few false detections in frames without galaxies) and measured on the other half. Core-hours are "
        "processor time of the training. All have the same schedule and peak learning rate; a network may be better "
        "with another one."
    )
    heading = ["", *MEASURED.values(), "scenes seen", "core-hours", "million MACs", "seeds"]
    return "\n".join([about, "", *markdown_table(heading, [_cells(row) for row in rows])]) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    scores = []
    for key in MEASURED:
        mean, spread = row["means"].get(key), row["spreads"].get(key)
        scores.append("" if mean is None else f"{mean:.3f}" + (f" ± {spread:.3f}" if spread is not None else ""))
    scenes, hours = f"{np.mean(row['scenes']):,.0f}", f"{np.mean(row['core_hours']):.2f}"
    return [row["name"], *scores, scenes, hours, f"{row['macs'] / 1e6:.1f}", ", ".join(map(str, row["seeds"]))]
