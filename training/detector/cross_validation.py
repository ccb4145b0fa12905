"""K-fold training of a detector: every picture is held out once, and what is reported has a spread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...models.markdown import markdown_table
from ..run import write_json
from .fit import train
from .settings import DetectorSettings


def train_folds(
    data: Path,
    out: Path,
    settings: DetectorSettings,
    folds: int,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
    skipped: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train a detector on all folds but one, for each in turn, in ``OUT/fold1``, ``OUT/fold2`` and so on.

    Args:
        data, settings, report, skipped: as for `detector.train`.
        folds: how many, at least 2; pictures are dealt by the seeded hash of their content.
        resume: keep the folds that are finished and go on with the one that is not; of other settings, an error.

    Returns:
        What is written to ``OUT/folds.json``: folds, seed, and of every metric its mean, std (of a sample) and values,
        of the float32 network on the fold that it did not see; folds where it is not defined are left out.
    """
    found: list[dict[str, float]] = []
    for fold in range(folds):
        place = out / f"fold{fold + 1}"
        one = dataclasses.replace(settings, folds=folds, fold=fold)
        # Of a finished fold too it is told whether it is of these settings and data: folds of two kinds have no mean.
        found.append(train(data, place, one, resume, report, skipped=skipped).metrics)
    metrics = {}
    for name in sorted({name for one in found for name in one}):
        values = [one[name] for one in found if name in one]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        metrics[name] = {"mean": float(np.mean(values)), "std": spread, "values": values}
    result = {"folds": folds, "seed": settings.seed, "metrics": metrics}
    write_json(out / "folds.json", result)
    (out / "folds.md").write_text(table(result), encoding="utf-8")
    return result


def table(result: dict[str, Any]) -> str:
    """Write the result of `train_folds` as a Markdown table."""
    count = result["folds"]
    rows = []
    for name, metric in result["metrics"].items():
        values = [f"{value:.3f}" for value in metric["values"]]
        rows.append([name, f"{metric['mean']:.3f}", f"{metric['std']:.3f}", *values, *[""] * (count - len(values))])
    heading = ["", "mean", "std", *(f"fold {fold + 1}" for fold in range(count))]
    about = f"Mean and standard deviation over {count} folds (seed {result['seed']})."
    return "\n".join([about, "", *markdown_table(heading, rows)]) + "\n"
