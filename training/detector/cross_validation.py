"""K-fold cross-validation of a detector: every image is held out once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ..data.errors import DataError
from ..data.sample import Sample
from ..formats.read_set import read_set
from ..progress import Report
from ..run import write_json
from .dataset import split
from .fit import train
from .fold_table import fold_table
from .settings import DetectorSettings


def train_folds(
    data: Path,
    out: Path,
    settings: DetectorSettings,
    folds: int,
    resume: bool = False,
    report: Report | None = None,
    skip_invalid: bool = False,
) -> dict[str, Any]:
    """Train one detector per fold, each without the images of its fold.

    The runs are in ``OUT/fold1``, ``OUT/fold2`` and so on.

    Args:
        data, settings, report, skip_invalid: as for `fit.train`.
        out: folder of the runs and their summary.
        folds: number of folds, at least 2; images are assigned by the seeded hash of their content.
        resume: keep the finished folds and continue with the others; folds with other settings are an error.

    Returns:
        the content of ``OUT/folds.json``: folds, seed, network, epochs, scenes an epoch, images in each held-out fold,
        and mean, sample std and values of every metric of the float32 network on its held-out fold; folds in which a
        metric is undefined are omitted.
    """
    _check_folds(read_set(data, skip_invalid), settings.seed, folds)
    records = []
    for fold in range(folds):
        fold_settings = dataclasses.replace(settings, folds=folds, fold=fold)
        # Also checks that a finished fold has these settings and data: a mean of different ones is meaningless.
        records.append(train(data, out / f"fold{fold + 1}", fold_settings, resume, report, skip_invalid=skip_invalid))
    metrics_by_fold = [record.metrics for record in records]
    summary = {}
    for name in sorted({name for metrics in metrics_by_fold for name in metrics}):
        values = [metrics[name] for metrics in metrics_by_fold if name in metrics]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        summary[name] = {"mean": float(np.mean(values)), "std": spread, "values": values}
    result = {
        "folds": folds,
        "seed": settings.seed,
        "network": settings.architecture,
        "size": settings.size,
        "macs": records[0].model["macs"],
        "epochs": settings.epochs,
        "scenes": settings.images_per_epoch,
        "images": [record.data["split"]["validation"] for record in records],
        "metrics": summary,
    }
    write_json(out / "folds.json", result)
    (out / "folds.md").write_text(fold_table(result), encoding="utf-8")
    return result


def _check_folds(samples: list[Sample], seed: int, folds: int) -> None:
    """Raise a DataError if a fold is too small, before the first is trained."""
    for fold in range(folds):
        training, held_out, _ = split(samples, seed, folds, fold)
        if not held_out or not any(len(sample.boxes) for sample in training):
            raise DataError(f"fold {fold + 1} of {folds} has too few of the {len(samples)} images: give fewer --folds")
