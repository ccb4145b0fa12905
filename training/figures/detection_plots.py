"""Figures of a detector's score, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .style import BLUE, GREEN, GREY, ORANGE, RED, PlotError, label_axes, new_figure, write_figure


def score_curves(levels: Sequence[Mapping[str, Any]], threshold: float, path: Path) -> None:
    """Plot a detector's precision-recall curve, and its rates over the score.

    The second panel shows precision, recall and false detections per frame without galaxies.

    Args:
        levels: score, precision, recall and fp_per_frame (0 and up), each of the last three None where undefined.
        threshold: the operating threshold, which is marked.
    """
    figure = new_figure(10.4, 3.8)
    left, right = figure.subplots(1, 2)
    defined = [row for row in levels if row["precision"] is not None and row["recall"] is not None]
    left.plot(
        [row["recall"] for row in defined], [row["precision"] for row in defined], color=BLUE, marker="o", markersize=3
    )
    if defined:
        chosen = min(defined, key=lambda row: abs(row["score"] - threshold))
        left.plot(
            chosen["recall"],
            chosen["precision"],
            "D",
            color=RED,
            markersize=8,
            linestyle="none",
            label=f"at score {chosen['score']:.2f}",
        )
        left.legend(frameon=False, loc="lower left")
    label_axes(left, "recall", "precision")
    left.set(xlim=(0, 1.01), ylim=(0, 1.01))
    lines = (("precision", BLUE, "-"), ("recall", GREEN, "-."), ("fp_per_frame", ORANGE, "--"))
    for key, colour, style in lines:
        known = [row for row in levels if row[key] is not None]
        name = "false detections per frame without galaxies" if key == "fp_per_frame" else key
        right.plot([row["score"] for row in known], [row[key] for row in known], style, color=colour, label=name)
    right.axvline(threshold, color=GREY, linewidth=1, linestyle=":", label=f"threshold {threshold:.2f}")
    label_axes(right, "score", "")
    right.set(xlim=(0, 1), ylim=(0, 1.01))
    right.legend(frameon=False, fontsize=8)
    write_figure(figure, path)


def score_calibration(bins: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the share of correct detections against their score.

    Args:
        bins: score (mean), right (0..1) and detections (count) of each bin.
    """
    if not bins:
        raise PlotError(f"{path.name}: nothing was detected")
    figure = new_figure(5.4, 6.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="perfect")
    scores = [row["score"] for row in bins]
    upper.plot(scores, [row["right"] for row in bins], color=BLUE, marker="o", clip_on=False, label="detections")
    label_axes(upper, "", "share correct")
    upper.set(xlim=(0, 1), ylim=(0, 1))
    upper.legend(frameon=False, loc="upper left")
    lower.bar(scores, [row["detections"] for row in bins], width=0.06, color=BLUE)
    label_axes(lower, "score", "detections")
    lower.set_yscale("log")
    write_figure(figure, path)
