"""Write docs/study.md: what a network's layers react to.

It has the scores of each class and ROC curves too.

The images under the class activation maps are drawn (`drawn_galaxies`): the package ships weights, not survey images.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...files import write_atomic
from ...models.intervals import DRAWS, Z95, interval_text, wilson_interval
from ...models.markdown import markdown_table
from ...training.figures.explain import explain_model, load_model
from ...training.figures.plots import roc_curves
from ...training.figures.saliency import activations, grad_cam
from ...training.run import RunError, read_record
from ...training.scenes.drawn_galaxies import draw_classes
from ...training.study.runs import probabilities_of
from ...training.study.significance import class_scores, roc_curve
from ..accuracy.classifier_results import test_part

HEAD = """# What the networks of the study see

Written by `galaxy-edge study pictures`; no number is typed in. Scores and curves are of the test part, in brackets
95 % intervals over its images. The galaxies in the pictures are drawn by formulas, one of each class, and are cleaner
than photographs: they show how a network works, not how well. [report.md](report.md) compares the study with the
report; [RESULTS.md](../training/RESULTS.md) has all tables.
"""
FOLDER = "study"
JPEG_QUALITY = 80
CONSTANT = 1e-6
"""Standard deviation of a channel's activations below which it does not react to an image."""


def write_pictures(runs: Mapping[str, Path], data: Path, docs: Path, split_seed: int = 1, seed: int = 1) -> Path:
    """Write ``study.md`` and its pictures in ``study/``.

    Args:
        runs: title -> folder of a finished run.
        data: labelled images, see `dataset_files.load_dataset`.
        docs: folder of the page; it is created if missing.
        split_seed: seed of the split that the runs were trained on.
        seed: of the filter patterns.

    Returns:
        The path of the page.

    Raises:
        RunError: a run is not finished, was trained on another split, or two titles give the same file names.
    """
    names = {title: re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") for title in runs}
    if len(set(names.values())) < len(names) or not all(names.values()):
        raise RunError(f"the titles {', '.join(runs)} do not give different file names: use other titles")
    folder = docs / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    parts = [HEAD]
    for title, run in runs.items():
        parts += [f"## {title}\n", _describe(run)]
        parts += _test_scores(run, data, split_seed, folder / f"{names[title]}-roc.png")
        parts += _inside(run, folder, names[title], seed)
    page = docs / "study.md"
    write_atomic(page, ("\n".join(parts).strip() + "\n").encode())
    return page


def _describe(run: Path) -> str:
    record = read_record(run)
    if not record.is_finished:
        raise RunError(f"{run} is not finished: train it to the end first")
    settings, model = record.settings, record.model
    return (
        f"Network `{settings['network']}`, seed {settings['seed']}, at most {settings['epochs']} epochs, "
        f"{model['parameters']:,} parameters, {model['macs'] / 1e6:.1f} million multiply-adds.\n"
    )


def _test_scores(run: Path, data: Path, split_seed: int, picture: Path) -> list[str]:
    """Draw the ROC curves on the test part.

    Return the table of the classes and a sentence as Markdown.
    """
    test = test_part(run, data, split_seed).test
    probabilities = probabilities_of(run, test)
    found = class_scores(probabilities, test.labels, test.classes)
    defined = {name: scores for name, scores in found.items() if scores["auc"] is not None}
    curves = {}
    for label, name in enumerate(test.classes):
        if name in defined:
            false, true = roc_curve(probabilities[:, label], test.labels == label)
            curves[name.replace("_", " ")] = false, true, defined[name]["auc"]
    roc_curves(curves, picture)
    lowest = min(defined, key=lambda name: float(defined[name]["auc"]))
    mean = np.mean([scores["auc"] for scores in defined.values()])
    return [
        *class_table(found),
        f"\n![ROC curves of the classes]({FOLDER}/{picture.name})\n",
        f"ROC curves, each class against the rest, on {len(test)} test images: the mean area is {mean:.3f}; the "
        f"lowest, {defined[lowest]['auc']:.3f}, is that of {lowest.replace('_', ' ')}.\n",
    ]


def class_table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the scores of each class as a Markdown table.

    For the scores see `significance.class_scores`; macro means are in the last row.
    """
    keys = ("precision", "recall", "f1", "auc")
    total = sum(scores["support"] for scores in found.values())

    def cell(value: float | None, limits: Sequence[float] | None = None) -> str:
        return "" if value is None else f"{value:.3f}{interval_text(limits)}"

    rows = []
    for name, scores in found.items():
        limits = class_intervals(scores, total)
        cells = [cell(scores[key], limits.get(key)) for key in keys]
        rows.append((name.replace("_", " "), *cells, str(scores["support"])))
    means = []
    for key in keys:
        # As in the macro scores elsewhere: over classes with images; one that is never predicted has a precision of 0.
        values = [scores[key] or 0.0 for scores in found.values() if scores["support"]]
        means.append(cell(float(np.mean(values)) if values else None))
    rows.append(("macro mean", *means, str(total)))
    return markdown_table(["", "precision", "recall", "F1", "AUC", "images"], rows)


def class_intervals(scores: Mapping[str, Any], total: int) -> dict[str, Sequence[float]]:
    """Return the 95 % intervals of the scores of a class that are defined.

    Precision and recall have Wilson's, F1 that of drawing the images with replacement, and the area under the ROC curve
    that of its standard error (Hanley & McNeil 1982, Radiology 143, 29).

    Args:
        scores: see `significance.class_scores`; total: number of images of all classes.
    """
    positives, limits = scores["support"], dict[str, Sequence[float]]()
    if not positives:
        return limits
    right = round(scores["recall"] * positives)
    limits["recall"] = wilson_interval(right, positives)
    if right:
        predicted = round(right / scores["precision"])
        limits["precision"] = wilson_interval(right, predicted)
        shares = np.array([right, predicted - right, positives - right, total - positives - predicted + right]) / total
        drawn = np.random.default_rng(0).multinomial(total, shares, DRAWS)
        f1 = 2 * drawn[:, 0] / np.maximum(1, 2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2])
        limits["f1"] = np.quantile(f1, [0.025, 0.975]).tolist()
    if (area := scores["auc"]) is not None:
        negatives = total - positives
        pair, other = area / (2 - area), 2 * area**2 / (1 + area)
        variance = area * (1 - area) + (positives - 1) * (pair - area**2) + (negatives - 1) * (other - area**2)
        half = Z95 * np.sqrt(max(0.0, variance) / (positives * negatives))
        limits["auc"] = max(0.0, area - half), min(1.0, area + half)
    return limits


def _inside(run: Path, folder: Path, name: str, seed: int) -> list[str]:
    """Write the sheets of a network; return them with a sentence each as Markdown."""
    record, model = read_record(run).model, load_model(run)
    images, truth = draw_classes(record["input"]["width"])
    classes = record["classes"]
    with tempfile.TemporaryDirectory() as scratch:
        titles = [f"drawn {number}" for number in range(1, len(images) + 1)]
        temperature = record["decode"]["temperature"]
        sheets = explain_model(model, images, titles, classes, Path(scratch), seed, truth, temperature)
        for sheet in sheets:
            write_atomic(folder / f"{name}-{sheet.stem}.jpg", _as_jpeg(sheet))
    heat, shown = grad_cam(model, images)
    quarter = images.shape[1] // 4
    inner = heat[:, quarter:-quarter, quarter:-quarter].sum() / max(float(heat.sum()), 1e-9)
    right = sum(classes[label] == known for label, known in zip(shown.tolist(), truth, strict=True))
    silent, channels = _silent_channels(model, images)
    return [
        f"![Class activation maps]({FOLDER}/{name}-heat.jpg)\n",
        f"Class activation maps (Grad-CAM) of drawn galaxies: {inner:.0%} of the heat lies in the middle quarter of "
        f"the area, which holds most of a galaxy's light; {right} of {len(truth)} drawn galaxies are named right.\n",
        f"![Activations]({FOLDER}/{name}-activations.jpg)\n",
        f"Activations of the first galaxy, layer by layer. {silent} of {channels} channels do not react to any of the "
        f"{len(images)} galaxies.\n",
        f"![Patterns of filters]({FOLDER}/{name}-filters.jpg)\n",
        "Patterns that excite single filters most, layer by layer, grown from noise by gradient ascent.\n",
    ]


def _as_jpeg(sheet: Path) -> bytes:
    """Return an image file as JPEG, a fifth of the size of these noisy sheets as PNG."""
    image = cv2.imread(str(sheet))
    assert image is not None  # `explain_model` has just written it
    encoded: np.ndarray = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return encoded.tobytes()


def _silent_channels(model: Any, images: np.ndarray) -> tuple[int, int]:
    """Count the channels of the shown layers that react to no image.

    The number of all channels is returned too.
    """
    reacts: dict[str, np.ndarray] = {}
    for image in images:
        for layer, maps in activations(model, image).items():
            reacts[layer] = reacts.get(layer, False) | (maps.std(axis=(0, 1)) > CONSTANT)
    return sum(int((~found).sum()) for found in reacts.values()), sum(len(found) for found in reacts.values())
