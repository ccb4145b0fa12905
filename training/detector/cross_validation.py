"""K-fold cross-validation of a detector: every image is held out once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ...files import write_atomic
from ..data.errors import DataError
from ..data.sample import Sample
from ..formats.read_set import read_set
from ..progress import Report
from ..run import load_resumable_record, write_json
from .dataset import split
from .fit import train
from .fold_table import fold_table
from .settings import DetectorSettings
from .teacher import load_teacher, recorded_settings


# Long because half of it describes its arguments, result and errors.
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
        and mean, sample std and values of every metric of the float32 network on its held-out fold; None is the value
        of a fold in which a metric is undefined, and the std of less than two values.

    Raises:
        DataError: a fold has too few images.
        RunError: a fold holds a run of other settings or data, or one and `resume` is not set.
    """
    _check_folds(read_set(data, skip_invalid), out, settings, folds, resume)
    records = []
    for fold in range(folds):
        fold_settings = dataclasses.replace(settings, folds=folds, fold=fold)
        records.append(train(data, out / f"fold{fold + 1}", fold_settings, resume, report, skip_invalid=skip_invalid))
    by_fold = [record.metrics for record in records]
    summary = {}
    for name in sorted({name for metrics in by_fold for name, value in metrics.items() if value is not None}):
        values = [metrics.get(name) for metrics in by_fold]
        known = [value for value in values if value is not None]
        spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
        summary[name] = {"mean": float(np.mean(known)), "std": spread, "values": values}
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
    write_atomic(out / "folds.md", fold_table(result).encode())
    return result


def _check_folds(samples: list[Sample], out: Path, settings: DetectorSettings, folds: int, resume: bool) -> None:
    """Check every fold before the first is trained.

    Also that its run, if there is one, has these settings and data: a mean of different ones is meaningless.
    """
    teacher = load_teacher(settings.teacher, settings) if settings.teacher else None
    for fold in range(folds):
        training, held_out, record = split(samples, settings.seed, folds, fold)
        if not held_out or not training:
            raise DataError(f"fold {fold + 1} of {folds} has too few of the {len(samples)} images: give fewer --folds")
        if not any(len(sample.boxes) for sample in training):
            raise DataError(f"outside of fold {fold + 1} of {folds}, no image has a usable box to train a detector on")
        own = recorded_settings(dataclasses.replace(settings, folds=folds, fold=fold), teacher)
        load_resumable_record(out / f"fold{fold + 1}", "detect", own, record, resume)
