"""Figures of a study, as PNG: learning curves, confusion, calibration, abstaining, cost against score, comparisons.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart, and no line is known by its
colour alone. Each function makes the folder of `path`, writes beside its place and renames; each raises `PlotError`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...models.classification_metrics import ECE_BINS

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8C8C8C"
LINES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (RED, ":"), ("#CC79A7", "-"), ("#56B4E9", "--"))
DPI = 120
LOSSES = ("loss", "val_loss")


class PlotError(UserError):
    """A figure that cannot be drawn or written; the message says why."""


def learning_curves(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the losses, and beside them the scores, over the epochs.

    Args:
        rows: lines of a run's log: ``epoch`` from 1, and any of loss, val_loss and scores in 0..1 (macro_f1, accuracy,
            ...). Of an epoch that a resumed run did again, the last line holds; what is not finite leaves a gap.
    """
    by_epoch = {row["epoch"]: row for row in rows if "epoch" in row}
    epochs = sorted(by_epoch)
    series = {
        name: [_number(by_epoch[epoch].get(name)) for epoch in epochs]
        for name in dict.fromkeys(name for row in by_epoch.values() for name in row)
        if name in LOSSES or "f1" in name or "accuracy" in name
    }
    panels = [
        part
        for part in ([name for name in series if name in LOSSES], [name for name in series if name not in LOSSES])
        if part
    ]
    if not panels:
        raise PlotError(f"{path.name}: the log has no epoch with a loss or a score yet: train first")
    figure = new_figure(5.2 * len(panels), 3.8)
    for place, names in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        for (colour, style), name in zip(LINES * 9, names, strict=False):
            # A single epoch is a point, which a line would not show.
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
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.legend(frameon=False)
    write_figure(figure, path)


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix, coloured by the share of each true class, with the counts written in.

    Args:
        matrix: (C, C) counts, rows are the truth. A class without pictures has an empty row.
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
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
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
    axes.set_xlabel("named")
    axes.set_ylabel("truth (pictures)")
    figure.colorbar(picture, ax=axes, shrink=0.8, label="share of the true class")
    write_figure(figure, path)


def reliability_bins(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bin predictions by their confidence, as the calibration error of `models.classification_metrics` does.

    Args:
        probabilities: (N, C) 0..1.
        labels: (N,) true classes.

    Returns:
        mean confidence, share that is right, and count of each bin (B,); the first two are NaN in an empty bin.
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
    """Draw how often predictions are right against how sure they are, before and after calibration.

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
    label_axes(upper, "", "share right")
    upper.set(xlim=(0, 1), ylim=(0, 1))
    upper.legend(frameon=False, loc="upper left")
    label_axes(lower, "confidence", "pictures")
    lower.set_ylim(bottom=0)
    write_figure(figure, path)


def accuracy_coverage(
    coverage: np.ndarray,
    accuracy: np.ndarray,
    threshold: float | None,
    path: Path,
    thresholds: np.ndarray | None = None,
) -> None:
    """Draw the accuracy on the pictures that are named against their share, when the unsure ones are left unnamed.

    Args:
        coverage: (n,) share of the pictures named, 0..1.
        accuracy: (n,) accuracy on these, 0..1, NaN where none is named.
        threshold: the confidence chosen, or None.
        thresholds: (n,) the confidence that belongs to each point: with it the chosen one is marked on the curve.
    """
    coverage, accuracy = np.asarray(coverage, float), np.asarray(accuracy, float)
    if coverage.shape != accuracy.shape or not np.isfinite(coverage + accuracy).any():
        raise PlotError(f"{path.name}: coverage {coverage.shape} and accuracy {accuracy.shape} give no curve")
    known = np.isfinite(coverage + accuracy)
    figure = new_figure(5.6, 4.0)
    axes = figure.add_subplot()
    order = np.argsort(coverage[known], kind="stable")
    axes.plot(coverage[known][order], accuracy[known][order], color=BLUE, label="accuracy of what is named")
    if threshold is not None and thresholds is not None:
        chosen = np.flatnonzero(known)[np.argmin(np.abs(np.asarray(thresholds, float)[known] - threshold))]
        axes.plot(
            coverage[chosen],
            accuracy[chosen],
            "D",
            color=RED,
            markersize=8,
            linestyle="none",
            label=f"threshold {threshold:.2f}: {coverage[chosen]:.0%} named, {accuracy[chosen]:.1%} right",
        )
    elif threshold is not None:
        axes.plot([], [], linestyle="none", label=f"threshold {threshold:.2f}")
    label_axes(axes, "share of pictures named", "accuracy")
    low = float(accuracy[known].min())
    axes.set(xlim=(0, 1.01), ylim=(math.floor(low * 20 - 1e-9) / 20, 1.005))
    axes.legend(frameon=False, loc="lower left")
    write_figure(figure, path)


def pareto(points: Sequence[Mapping[str, Any]], path: Path, cost_label: str) -> None:
    """Draw what trials cost and score, the front of those that no other beats in both, and the one chosen.

    Args:
        points: each with ``cost`` above 0, ``score`` 0..1, and whether it is ``chosen`` and on the ``front``.
        cost_label: what the cost is, with its unit.
    """
    if not points:
        raise PlotError(f"{path.name}: no finished trial to draw")
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    places = {
        name: np.array([(one["cost"], one["score"]) for one in points if keep(one)]).reshape(-1, 2)
        for name, keep in (
            ("rest", lambda one: not one.get("front")),
            ("front", lambda one: one.get("front")),
            ("chosen", lambda one: one.get("chosen")),
        )
    }
    axes.plot(*places["rest"].T, "o", color=GREY, alpha=0.6, markersize=5, label=f"trials ({len(points)})")
    front = places["front"][np.argsort(places["front"][:, 0], kind="stable")]
    if len(front):
        # A step: up to the next point's cost, no trial does better.
        axes.step(*front.T, where="post", color=BLUE, linewidth=1.4, marker="s", markersize=6, label="front")
    if len(places["chosen"]):
        axes.plot(*places["chosen"].T, "*", color=RED, markersize=17, markeredgecolor="white", label="chosen")
    axes.set_xscale("log")
    _plain_log(axes)
    label_axes(axes, cost_label, "score")
    axes.legend(frameon=False, loc="lower right")
    write_figure(figure, path)


def compare_bars(rows: Sequence[Mapping[str, Any]], path: Path, label: str) -> None:
    """Draw a bar for each of several recipes, from zero, in the order given, with its spread.

    Args:
        rows: each with ``name``, ``mean`` 0 or more, and ``spread`` (None for a single run).
        label: what is compared.
    """
    if not rows:
        raise PlotError(f"{path.name}: nothing to compare")
    figure = new_figure(7.0, 1.3 + 0.42 * len(rows))
    axes = figure.add_subplot()
    spreads = [row.get("spread") or 0.0 for row in rows]
    for place, (row, spread) in enumerate(zip(rows, spreads, strict=True)):
        axes.barh(place, row["mean"], 0.66, color=BLUE, alpha=0.75)
        if spread:
            axes.errorbar(row["mean"], place, xerr=spread, color="black", capsize=4, linewidth=1.3)
        text = f"{row['mean']:.3f} ± {spread:.3f}" if spread else f"{row['mean']:.3f}"
        axes.annotate(text, (row["mean"] + spread, place), xytext=(8, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rows)), [str(row["name"]) for row in rows])
    axes.invert_yaxis()
    widest = max(row["mean"] + spread for row, spread in zip(rows, spreads, strict=True))
    axes.set_xlim(0, 1.3 * widest or 1.0)
    label_axes(axes, label, "")
    axes.grid(axis="y", visible=False)
    write_figure(figure, path)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def new_figure(width: float, height: float) -> Any:
    """Make a figure of width x height inches, outside pyplot, so that nothing global is opened or left open."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise PlotError("figures are drawn by matplotlib: pip install 'galaxy-edge[train]'") from None
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def label_axes(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _plain_log(axes: Any) -> None:
    """Write a logarithmic axis in plain numbers, and the ones between the powers of ten too where few are in sight."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.xaxis.set_minor_formatter(NullFormatter())


def write_figure(figure: Any, path: Path) -> None:
    beside = path.with_name("." + path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Constrained layout lets the labels of a square matrix run over the rim.
        figure.savefig(beside, format="png", bbox_inches="tight", pad_inches=0.12)
        os.replace(beside, path)
    except OSError as problem:
        raise PlotError(f"{path} cannot be written: {problem.strerror}") from None
