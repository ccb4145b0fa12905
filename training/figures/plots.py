"""Figures of classifiers and searches, as PNG.

Each function creates the folder of `path` if missing and writes atomically; each raises `PlotError` if there is nothing
to draw or the file cannot be written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.classification_metrics import ECE_BINS
from .style import BLUE, GREY, LINES, ORANGE, RED, PlotError, label_axes, new_figure, write_figure

LOSSES = ("loss", "val_loss")


def learning_curves(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw losses and scores over the epochs, side by side.

    Args:
        rows: lines of a run's log: ``epoch`` from 1, and any of loss, val_loss and scores in 0..1 (macro_f1, accuracy,
            ...). If a resumed run repeated an epoch, its last line is used; values that are not finite leave a gap.
    """
    by_epoch = {row["epoch"]: row for row in rows if "epoch" in row}
    epochs = sorted(by_epoch)
    series = {
        name: [_number(by_epoch[epoch].get(name)) for epoch in epochs]
        for name in dict.fromkeys(name for row in by_epoch.values() for name in row)
        if name in LOSSES or "f1" in name or "accuracy" in name
    }
    panels = [
        names
        for names in ([name for name in series if name in LOSSES], [name for name in series if name not in LOSSES])
        if names
    ]
    if not panels:
        raise PlotError(f"{path.name}: the log has no epoch with a loss or a score yet: train first")
    figure = new_figure(5.2 * len(panels), 3.8)
    for position, names in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), position)
        for (colour, style), name in zip(LINES * 9, names, strict=False):
            # With few epochs, or only one, a line without markers would hardly be visible.
            axes.plot(
                epochs,
                series[name],
                style,
                color=colour,
                label=name.replace("_", " ").replace("f1", "F1"),
                marker="o" if len(epochs) < 8 else "",
                markersize=4,
            )
        label_axes(axes, "epoch", "loss" if names[0] in LOSSES else "score")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # type: ignore[call-arg] # a MaxNLocator
        axes.legend(frameon=False)
    write_figure(figure, path)


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix with counts, coloured by the share of each true class.

    Args:
        matrix: (C, C) counts, rows are the true classes. A class without images has an empty row.
        classes: C names.
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(classes), len(classes)) or not len(classes):
        raise PlotError(f"{path.name}: a matrix of shape {counts.shape} does not fit {len(classes)} classes")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = 2.6 + 0.62 * len(classes)
    figure = new_figure(side + 1.6, side)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            axes.text(
                column,
                row,
                f"{counts[row, column]}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if shares[row, column] > 0.55 else "black",
            )
    names = [name.replace("_", " ") for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), [f"{name} ({total})" for name, total in zip(names, totals[:, 0], strict=True)])
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (images)")
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    write_figure(figure, path)


def reliability_bins(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bin predictions by confidence, with the bins of the calibration error.

    Args:
        probabilities: (N, C) 0..1.
        labels: (N,) true classes.

    Returns:
        Mean confidence, share of correct predictions and count of each bin (B,); the first two are NaN in an empty bin.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    count = np.bincount(bins, minlength=ECE_BINS)
    filled = np.where(count > 0, count, np.nan)
    return np.bincount(bins, confidence, ECE_BINS) / filled, np.bincount(bins, right, ECE_BINS) / filled, count


def reliability(
    probabilities_before: np.ndarray, probabilities_after: np.ndarray, labels: np.ndarray, path: Path
) -> None:
    """Draw accuracy against confidence, before and after calibration.

    Args:
        probabilities_before, probabilities_after: (N, C) 0..1.
        labels: (N,) true classes.
    """
    if not len(labels):
        raise PlotError(f"{path.name}: no predictions to draw")
    figure = new_figure(5.4, 6.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="perfect")
    both = ((probabilities_before, "before", ORANGE, "--", "s"), (probabilities_after, "after", BLUE, "-", "o"))
    for probabilities, name, colour, style, marker in both:
        confidence, right, count = reliability_bins(probabilities, labels)
        error = np.nansum(count * np.abs(right - confidence)) / count.sum()
        kept = count > 0
        upper.plot(
            confidence[kept],
            right[kept],
            style,
            color=colour,
            marker=marker,
            markersize=5,
            clip_on=False,
            label=f"{name} (ECE {error:.3f})",
        )
        lower.stairs(count, np.linspace(0, 1, ECE_BINS + 1), color=colour, linestyle=style, linewidth=1.6)
    label_axes(upper, "", "share correct")
    upper.set(xlim=(0, 1), ylim=(0, 1))
    upper.legend(frameon=False, loc="upper left")
    label_axes(lower, "confidence", "images")
    lower.set_ylim(bottom=0)
    write_figure(figure, path)


def accuracy_coverage(
    coverage: np.ndarray,
    accuracy: np.ndarray,
    threshold: float | None,
    path: Path,
    thresholds: np.ndarray | None = None,
) -> None:
    """Draw the accuracy of confident predictions against their share of all images.

    Args:
        coverage: (n,) share of images with a confident prediction, 0..1.
        accuracy: (n,) accuracy on these images, 0..1, NaN where there are none.
        threshold: the selected minimum confidence, or None.
        thresholds: (n,) the minimum confidence of each point; if given, the selected one is marked on the curve.
    """
    coverage, accuracy = np.asarray(coverage, float), np.asarray(accuracy, float)
    if coverage.shape != accuracy.shape or not np.isfinite(coverage + accuracy).any():
        raise PlotError(f"{path.name}: coverage {coverage.shape} and accuracy {accuracy.shape} give no curve")
    known = np.isfinite(coverage + accuracy)
    figure = new_figure(5.6, 4.0)
    axes = figure.add_subplot()
    order = np.argsort(coverage[known], kind="stable")
    axes.plot(coverage[known][order], accuracy[known][order], color=BLUE, label="accuracy of classified images")
    if threshold is not None and thresholds is not None:
        chosen = np.flatnonzero(known)[np.argmin(np.abs(np.asarray(thresholds, float)[known] - threshold))]
        axes.plot(
            coverage[chosen],
            accuracy[chosen],
            "D",
            color=RED,
            markersize=8,
            linestyle="none",
            label=f"threshold {threshold:.2f}: {coverage[chosen]:.0%} classified, {accuracy[chosen]:.1%} correct",
        )
    elif threshold is not None:
        axes.plot([], [], linestyle="none", label=f"threshold {threshold:.2f}")
    label_axes(axes, "share of images classified", "accuracy")
    low = float(accuracy[known].min())
    axes.set(xlim=(0, 1.01), ylim=(math.floor(low * 20 - 1e-9) / 20, 1.005))
    axes.legend(frameon=False, loc="lower left")
    write_figure(figure, path)


def roc_curves(curves: Mapping[str, tuple[np.ndarray, np.ndarray, float]], path: Path) -> None:
    """Draw the ROC curves of the classes, each against the rest.

    Args:
        curves: title -> false positive rates (K,), true positive rates (K,), and the area under the curve.
    """
    if not curves:
        raise PlotError(f"{path.name}: no ROC curve can be drawn, as no class has images of it and of others")
    figure = new_figure(5.6, 5.2)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], ":", color=GREY, label="chance (0.500)")
    for number, (title, (false, true, area)) in enumerate(curves.items()):
        colour, style = LINES[number % len(LINES)]
        width = 1.3 + 1.3 * (number // len(LINES))  # more classes than lines: those that repeat are wider
        label = f"{title} ({area:.3f})"
        axes.step(false, true, style, where="post", color=colour, linewidth=width, label=label)
    label_axes(axes, "false positive rate", "true positive rate")
    axes.legend(frameon=False, fontsize=8, title="class (AUC)", loc="lower right")
    write_figure(figure, path)


def pareto(points: Sequence[Mapping[str, Any]], path: Path, cost_label: str) -> None:
    """Draw cost and score of trials, their Pareto front and the selected trial.

    Args:
        points: each with ``cost`` above 0, ``score`` 0..1, and whether it is ``chosen`` and on the ``front``.
        cost_label: name of the cost, with its unit.
    """
    if not points:
        raise PlotError(f"{path.name}: no finished trial to draw")
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    groups = {
        name: np.array([(point["cost"], point["score"]) for point in points if belongs(point)]).reshape(-1, 2)
        for name, belongs in (
            ("rest", lambda point: not point.get("front")),
            ("front", lambda point: point.get("front")),
            ("chosen", lambda point: point.get("chosen")),
        )
    }
    axes.plot(*groups["rest"].T, "o", color=GREY, alpha=0.6, markersize=5, label=f"trials ({len(points)})")
    front = groups["front"][np.argsort(groups["front"][:, 0], kind="stable")]
    if len(front):
        # Steps: up to the cost of the next point, no trial has a better score.
        axes.step(*front.T, where="post", color=BLUE, linewidth=1.4, marker="s", markersize=6, label="front")
    if len(groups["chosen"]):
        axes.plot(*groups["chosen"].T, "*", color=RED, markersize=17, markeredgecolor="white", label="selected")
    axes.set_xscale("log")
    _plain_log(axes)
    label_axes(axes, cost_label, "score")
    axes.legend(frameon=False, loc="lower right")
    write_figure(figure, path)


def compare_bars(rows: Sequence[Mapping[str, Any]], path: Path, label: str) -> None:
    """Draw a bar with spread for each row, from zero, in the given order.

    Args:
        rows: each with ``name``, ``mean`` 0 or more, and ``spread`` (None for a single run).
        label: name of the compared score.
    """
    if not rows:
        raise PlotError(f"{path.name}: nothing to compare")
    figure = new_figure(7.0, 1.3 + 0.42 * len(rows))
    axes = figure.add_subplot()
    spreads = [row.get("spread") or 0.0 for row in rows]
    for position, (row, spread) in enumerate(zip(rows, spreads, strict=True)):
        axes.barh(position, row["mean"], 0.66, color=BLUE, alpha=0.75)
        if spread:
            axes.errorbar(row["mean"], position, xerr=spread, color="black", capsize=4, linewidth=1.3)
        text = f"{row['mean']:.3f} ± {spread:.3f}" if spread else f"{row['mean']:.3f}"
        axes.annotate(text, (row["mean"] + spread, position), xytext=(8, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rows)), [str(row["name"]) for row in rows])
    axes.invert_yaxis()
    widest = max(row["mean"] + spread for row, spread in zip(rows, spreads, strict=True))
    axes.set_xlim(0, 1.3 * widest or 1.0)
    label_axes(axes, label, "")
    axes.grid(axis="y", visible=False)
    write_figure(figure, path)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _plain_log(axes: Any) -> None:
    """Label a logarithmic x axis with plain numbers.

    If the range is short, numbers between the powers of ten are labelled too.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.xaxis.set_minor_formatter(NullFormatter())
