"""Write the page of results from the saved results and tables, e.g. ``training/RESULTS.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...models.markdown import markdown_row, markdown_table
from .classifier_results import read_results
from .detector_results import detector_page
from .raw_results import raw_page
from .result_tables import saved_tables

TITLES = {
    "scratch": "report: CNN from scratch (16-32-64-128, dropout, batch normalisation)",
    "batch_norm": "report's CNN from scratch without its dropout",
    "vgg_features": "report: VGG-16, frozen (HED-tuned weights, not ImageNet's)",
    "vgg_block5": "report: VGG-16, tuned from block 5 (HED-tuned weights)",
    "optimised": "report: hyper-optimised (5x5 kernels; layers reconstructed)",
    "ensemble": "report: ensemble, 0.6 scratch + 0.4 VGG-16 tuned from block 5",
    "ensemble_optimised": "not the report's: ensemble of hyper-optimised and VGG-16 tuned from block 5",
    "small_alone": "ours, from labels alone (neither teacher nor attributes)",
    "small": "ours, with a teacher and attributes",
    "small_all": "ours, with teachers, attributes and images without a class",
    "telescopes": "ours, shipped: the same, continued on views as of other telescopes",
    "small_five": "ours, with the three above as teachers too",
}
HEAD = """# What was measured: classifiers first, detectors after them

Written by `galaxy-edge study report` from saved results; no number is typed in. Every classifier was trained on one
split by content (exact and near duplicates kept together), selected on its validation part and evaluated once on its
test part; mean and standard deviation over the seeds given. With this number of images, differences below three points
are noise. So is a calibration error (ECE) that is not larger than that of perfect probabilities on the same number of
images ("by chance").
"""


def page(results: Path) -> str:
    """Return the page as Markdown.

    Args:
        results: folder of the saved results.
    """
    found = read_results(results)
    order = [name for name in TITLES if name in found] + sorted(set(found) - set(TITLES))
    rows = [
        (f"{TITLES.get(name, name)}{', int8' if kind == 'int8' else ''}", kind, found[name])
        for name in order
        for kind in ("float", "int8")
        if all(kind in result for result in found[name])
    ]
    tables = [*saved_tables(results), *detector_page(results), *raw_page(results)]
    if not rows:
        return "\n".join([HEAD, "Nothing has been evaluated yet.", *tables]) + "\n"
    images = {result["images"] for _, _, group in rows for result in group}
    parts = [
        HEAD,
        f"Test part: {', '.join(map(str, sorted(images)))} images.\n",
        "## All images\n",
        *_whole(rows),
        "\n## Recall of each class\n",
        *_recalls(rows),
        "\n## No shortcut\n",
        "Each source separately, and all images with the sky subtracted and the levels scaled to one range: a network "
        "that recognises surveys instead of galaxies loses accuracy there.\n",
        *_shortcuts(rows),
        *tables,
    ]
    return "\n".join(parts) + "\n"


Row = tuple[str, str, list[dict[str, Any]]]


def _whole(rows: list[Row]) -> list[str]:
    costs = ("balanced by", "epochs at most", "parameters", "million MACs", "int8 KiB", "seeds")
    lines = [_head("accuracy", "macro F1", "4 groups", "ECE", "ECE by chance", *costs)]
    for title, kind, group in rows:
        keys = ("accuracy", "macro_f1", "coarse_accuracy", "ece", "ece_by_chance")
        cells = [_mean(group, kind, key) for key in keys]
        first = group[0]
        kib = f"{first['int8_bytes'] / 1024:.1f}" if kind == "int8" else ""
        seeds = ", ".join(str(result["seed"]) for result in group)
        recipes = [
            ", ".join(dict.fromkeys(str(recipe[key]) for recipe in first.get("recipes", ()) if key in recipe))
            for key in ("balance", "epochs")
        ]
        size = f"{first['parameters']:,}", f"{first['macs'] / 1e6:.1f}"
        lines.append(markdown_row([title, *cells, *recipes, *size, kib, seeds]))
    return lines


def _recalls(rows: list[Row]) -> list[str]:
    classes = list(rows[0][2][0]["float"]["recall"])
    lines = [_head(*(name.replace("_", " ") for name in classes))]
    for title, kind, group in rows:
        values = [np.mean([result[kind]["recall"][name] for result in group]) for name in classes]
        lines.append(markdown_row([title, *(f"{value:.2f}" for value in values)]))
    return lines


def _shortcuts(rows: list[Row]) -> list[str]:
    sources = sorted({source for _, kind, group in rows for result in group for source in result[kind]["sets"]})
    lines = [
        _head(
            *(f"{source}: accuracy, macro F1" for source in sources), "levels normalised: accuracy, macro F1", "change"
        )
    ]
    for title, kind, group in rows:
        cells = []
        for source in sources:
            values = [result[kind]["sets"][source] for result in group]
            means = [np.mean([metrics[key] for metrics in values]) for key in ("accuracy", "macro_f1")]
            cells.append(", ".join(f"{mean:.3f}" for mean in means))
        levelled = f"{kind}_levelled"
        change = [[result[levelled][key] - result[kind][key] for result in group] for key in ("accuracy", "macro_f1")]
        cells += [
            ", ".join(_mean(group, levelled, key) for key in ("accuracy", "macro_f1")),
            ", ".join(f"{np.mean(values):+.3f}" for values in change),
        ]
        lines.append(markdown_row([title, *cells]))
    return lines


def _mean(group: list[dict[str, Any]], kind: str, key: str) -> str:
    values = [result[kind][key] for result in group]
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def _head(*cells: str) -> str:
    return "\n".join(markdown_table(["", *cells], []))
