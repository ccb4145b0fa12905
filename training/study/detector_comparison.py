"""Compare detectors that were trained for equal numbers of scenes or core-hours.

All start from random weights. A faster network sees more scenes in the same time, so the two tables differ.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...files import write_atomic
from ..data.splits import data_hash
from ..detector.dataset import is_trainable
from ..detector.fit import train
from ..detector.settings import PRESETS, DetectorSettings
from ..formats.read_set import read_set
from ..progress import Report
from ..run import RunError, read_log, read_record, trained_epochs, write_json
from .agreement import Settings, agree, finished_seeds, is_resumable, tabulated
from .detector_table import MEASURED, comparison_table

logger = logging.getLogger(__name__)

SPEED_EPOCHS = 3
"""Epochs of the training by which a network's core-hours are measured. The first take longer: images are read."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """For how long each network is trained.

    Attributes:
        scenes: number of scenes; None if the processor time is given.
        core_hours: processor time of all threads in hours; None if the scenes are given.
        patience: epochs without a better validation mAP@0.5 after which a training ends before; 0: never.

    Raises:
        ValueError: both or none of the limits are given.
    """

    scenes: int | None = None
    core_hours: float | None = None
    patience: int = 0

    def __post_init__(self) -> None:
        if (self.scenes is None) == (self.core_hours is None):
            raise ValueError("give the budget either as --scenes or as --core-hours")


# Many parameters because they are those of the command.
def compare_detectors(
    names: Sequence[str],
    data: Path,
    out: Path,
    budget: Budget,
    *,
    seeds: Sequence[int] = (1,),
    threads: int = 1,
    report: Report | None = None,
) -> list[dict[str, Any]]:
    """Train presets with every seed under one budget, and tabulate the scores.

    The runs are in ``OUT/PRESET/seedN``, the table in ``comparison.json`` and ``comparison.md``. It is written after
    every run. Interrupted runs are resumed, finished ones are not trained again; they may be copied from another
    comparison, and then they also tell the speed.

    Args:
        names: keys of `settings.PRESETS`.
        data, threads, report: see `fit.train`.

    Returns:
        A row for each preset of the folder, with all its finished runs: name, seeds, scenes and core_hours of each run,
        how many of them the limit ended, images held out, parameters, macs, and means and spreads (sample standard
        deviation; None for one seed) of `MEASURED`.

    Raises:
        RunError: the folder holds runs of another budget, of other data or settings; or the budget is less than an
            epoch of a preset.
    """
    for name in names:
        epoch = DetectorSettings(**PRESETS[name]).images_per_epoch
        if budget.scenes is not None and budget.scenes < epoch:
            raise RunError(f"an epoch of {name} has {epoch:,} scenes: give at least as many as --scenes")
    digests = [(sample.labels_digest(), is_trainable(sample)) for sample in read_set(data)]
    shared = {
        "command": "compare-detectors",
        "data": data_hash(digest for digest, _ in digests),
        "budget": dataclasses.asdict(budget),
    }
    trained_on = {"labels": data_hash(digest for digest, trainable in digests if trainable)}
    settings = {name: DetectorSettings(**PRESETS[name], patience=budget.patience, threads=threads) for name in names}
    wanted = {name: chosen.plain() for name, chosen in settings.items()}
    for values in wanted.values():
        del values["threads"]  # may change between runs
    known = _with_epochs(agree(out, shared, wanted, "detect", trained_on), budget)
    tabulated(out, known, "detect", trained_on)
    rows: list[dict[str, Any]] = []
    for name, chosen in settings.items():
        epochs = _epochs(chosen, data, out / name, budget, report)
        folders = {seed: out / name / f"seed{seed}" for seed in seeds}
        resumed = {
            seed: is_resumable(folder, epochs) for seed, folder in (finished_seeds(out / name) | folders).items()
        }
        for seed, folder in folders.items():
            logger.info("training %s, seed %d, at most %d epochs", name, seed, epochs)
            train(data, folder, dataclasses.replace(chosen, seed=seed, epochs=epochs), resumed[seed], report)
            finished = tabulated(out, known, "detect", trained_on)
            rows = [_row(preset, runs) for preset, runs in finished.items()]
            found = {"about": shared, "rows": rows}
            write_json(out / "comparison.json", found)
            write_atomic(out / "comparison.md", comparison_table(found).encode())
    return rows


def _with_epochs(known: Settings, budget: Budget) -> Settings:
    """Return the settings of presets with the epochs of a budget, if known."""
    without = {name: {key: value for key, value in old.items() if key != "epochs"} for name, old in known.items()}
    if budget.scenes is None:
        return without
    return {name: {**old, "epochs": budget.scenes // int(old["images_per_epoch"])} for name, old in without.items()}


def _epochs(settings: DetectorSettings, data: Path, folder: Path, budget: Budget, report: Report | None) -> int:
    """Return the number of epochs in a budget; measure the speed if needed.

    Finished runs may tell the speed. Their number of epochs stays, as long as one of them tells it.

    Args:
        folder: of the preset.
    """
    if budget.core_hours is None:
        return int(budget.scenes or 0) // settings.images_per_epoch
    measured, finished = folder / "speed", list(finished_seeds(folder).values())
    if finished and not measured.exists():
        affordable = [_affordable(run, budget.core_hours) for run in finished]
        used = [read_record(run).settings["epochs"] for run in finished]
        return next((epochs for epochs in used if epochs in affordable), affordable[0])
    trial = dataclasses.replace(settings, epochs=SPEED_EPOCHS, patience=0)
    train(data, measured, trial, is_resumable(measured, SPEED_EPOCHS), report)
    return _affordable(measured, budget.core_hours)


def _affordable(run: Path, core_hours: float) -> int:
    """Return the number of epochs in a budget, at the speed of a run.

    Raises:
        RunError: the budget is less than an epoch, or the run's log does not tell the speed.
    """
    found = [line.get("core_seconds") for line in read_log(run)[:SPEED_EPOCHS]]
    seconds = [float(value) for value in found if isinstance(value, int | float)]
    if not seconds or len(seconds) < len(found):
        raise RunError(f"{run / 'log.jsonl'} has no processor times: move this run, so that the speed is measured")
    limit = core_hours * 3600
    if limit < seconds[0]:
        least = seconds[0] / 3600
        raise RunError(f"an epoch of {run.parent.name} takes {least:.2g} core-hours: give at least as many")
    further = math.floor((limit - sum(seconds)) / max(seconds[-1], 1e-6))
    return max(1, len(seconds) + further)


def _row(name: str, runs: Mapping[int, Path]) -> dict[str, Any]:
    """Return the row of a preset, of its finished runs by seed."""
    records = [read_record(folder) for folder in runs.values()]
    trained = [trained_epochs(folder) for folder in runs.values()]
    values = {key: [record.metrics[key] for record in records if key in record.metrics] for key in MEASURED}
    return {
        "name": name,
        "seeds": list(runs),
        "scenes": [
            epochs * record.settings["images_per_epoch"] for record, epochs in zip(records, trained, strict=True)
        ],
        "core_hours": [record.extra["core_hours"] for record in records],
        "ended_by_limit": sum(
            epochs == record.settings["epochs"] for record, epochs in zip(records, trained, strict=True)
        ),
        "images": [record.data["split"]["validation"] for record in records],
        "parameters": records[0].model["parameters"],
        "macs": records[0].model["macs"],
        "means": {key: float(np.mean(found)) for key, found in values.items() if found},
        "spreads": {key: float(np.std(found, ddof=1)) if len(found) > 1 else None for key, found in values.items()},
    }
