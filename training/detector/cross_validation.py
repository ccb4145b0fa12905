"""K-fold training of a detector: every picture is held out once, and what is reported has a spread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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
        found.append(train(data, place, one, resume, report, skipped=skipped)["metrics"])
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
    """Write what `train_folds` returns as a Markdown table."""
    lines = [f"Mean and standard deviation over {result['folds']} folds (seed {result['seed']}).\n"]
    lines += ["| | mean | std | " + " | ".join(f"fold {fold + 1}" for fold in range(result["folds"])) + " |"]
    lines.append("| --- |" + " --- |" * (2 + result["folds"]))
    for name, one in result["metrics"].items():
        cells = [f"{value:.3f}" for value in one["values"]]
        cells += [""] * (result["folds"] - len(cells))
        lines.append(f"| {name} | {one['mean']:.3f} | {one['std']:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
