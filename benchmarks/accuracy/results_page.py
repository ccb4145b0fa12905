"""The page ``training/RESULTS.md``, written from the verdicts on the test part; see `judge`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .classifier_results import RESULTS, verdicts
from .detector_results import detector_page
from .result_tables import kept_tables

TITLES = {
    "scratch": "report: CNN from scratch (16-32-64-128)",
    "vgg_features": "report: VGG-16, frozen (HED-tuned weights, not ImageNet's)",
    "vgg_block5": "report: VGG-16, tuned from block 5 (HED-tuned weights)",
    "optimised": "report: hyper-optimised (5x5 kernels; layers reconstructed)",
    "ensemble": "report: ensemble of the two above",
    "small_alone": "ours, from labels alone (neither teacher nor attributes)",
    "small": "ours, with a teacher and attributes",
    "small_all": "ours, with teachers, attributes and pictures without a class",
    "small_five": "ours, with the three above as teachers too",
}
HEAD = """# What was measured: classifiers first, detectors after them

Written by `galaxy-edge study results` from `training/results/`; no figure is typed in. Every classifier was trained on
one split by content (exact and near duplicates kept together), chosen on its validation part and judged once on its
test part; mean and standard deviation over the seeds named. Differences below three points are noise on so few
pictures, and so is a calibration error (ECE) that is no larger than perfect probabilities would show on as many ("by
chance").
"""


def page(results: Path = RESULTS) -> str:
    """Write the page as Markdown."""
    found = verdicts(results)
    order = [name for name in TITLES if name in found] + sorted(set(found) - set(TITLES))
    rows = [
        (f"{TITLES.get(name, name)}{', int8' if kind == 'int8' else ''}", kind, found[name])
        for name in order
        for kind in ("float", "int8")
        if all(kind in one for one in found[name])
    ]
    tables = [*kept_tables(results), *detector_page(results)]
    if not rows:
        return "\n".join([HEAD, "Nothing has been judged yet.", *tables]) + "\n"
    images = {one["images"] for _, _, group in rows for one in group}
    parts = [
        HEAD,
        f"Test part: {', '.join(map(str, sorted(images)))} pictures.\n",
        "## All of it\n",
        *_whole(rows),
        "\n## Recall of each class\n",
        *_recalls(rows),
        "\n## No shortcut\n",
        "Each source by itself, and all pictures with their sky taken away and their levels scaled to one range: a "
        "network that knows surveys instead of galaxies falls there.\n",
        *_shortcuts(rows),
        *tables,
    ]
    return "\n".join(parts) + "\n"


Row = tuple[str, str, list[dict[str, Any]]]


def _whole(rows: list[Row]) -> list[str]:
    costs = ("parameters", "million MACs", "int8 KiB", "seeds")
    lines = [_head("accuracy", "macro F1", "4 groups", "ECE", "ECE by chance", *costs)]
    for title, kind, group in rows:
        keys = ("accuracy", "macro_f1", "coarse_accuracy", "ece", "ece_by_chance")
        cells = [_mean(group, kind, key) for key in keys]
        first = group[0]
        kib = f"{first['int8_bytes'] / 1024:.1f}" if kind == "int8" else ""
        seeds = ", ".join(str(one["seed"]) for one in group)
        lines.append(_line(title, *cells, f"{first['parameters']:,}", f"{first['macs'] / 1e6:.1f}", kib, seeds))
    return lines


def _recalls(rows: list[Row]) -> list[str]:
    classes = list(rows[0][2][0]["float"]["recall"])
    lines = [_head(*(name.replace("_", " ") for name in classes))]
    for title, kind, group in rows:
        values = [np.mean([one[kind]["recall"][name] for one in group]) for name in classes]
        lines.append(_line(title, *(f"{value:.2f}" for value in values)))
    return lines


def _shortcuts(rows: list[Row]) -> list[str]:
    sources = sorted({source for _, kind, group in rows for one in group for source in one[kind]["sets"]})
    lines = [_head(*(f"{source}: accuracy, macro F1" for source in sources), "levelled: accuracy, macro F1", "change")]
    for title, kind, group in rows:
        cells = []
        for source in sources:
            some = [one[kind]["sets"][source] for one in group]
            cells.append(", ".join(f"{np.mean([one[key] for one in some]):.3f}" for key in ("accuracy", "macro_f1")))
        levelled = f"{kind}_levelled"
        change = [[one[levelled][key] - one[kind][key] for one in group] for key in ("accuracy", "macro_f1")]
        cells += [
            ", ".join(_mean(group, levelled, key) for key in ("accuracy", "macro_f1")),
            ", ".join(f"{np.mean(values):+.3f}" for values in change),
        ]
        lines.append(_line(title, *cells))
    return lines


def _mean(group: list[dict[str, Any]], kind: str, key: str) -> str:
    values = [one[kind][key] for one in group]
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def _head(*cells: str) -> str:
    return _line("", *cells) + "\n" + "| --- |" + " --- |" * len(cells)


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
