"""Check that the runs in the output folder of a study belong together.

``study.json`` holds the data's hash, the settings of the command, and every recipe of the folder. It is checked before
the first training: a fold or a seed of other settings is reported at once, not after hours. Every run of a table is
checked by its own record too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files import file_hash
from ...models.classification_metrics import classification_metrics
from ...models.decode import softmax
from ...models.npz import NpzError, read_npz
from ..classifier.recipe import Recipe
from ..run import RunError, check_same, read_record, write_json

NAME = "study.json"
MAX_BYTES = 2**30
"""Maximum unpacked size of predictions."""
TOLERANCE = 1e-3
"""Maximum difference of a metric of saved predictions from the one in the record."""

Settings = Mapping[str, Mapping[str, Any]]
"""The settings of networks by name, as plain values."""


def recipe_settings(recipes: Mapping[str, Recipe], weights: Any = None) -> dict[str, dict[str, Any]]:
    """Return the settings of recipes by name, as their runs record them.

    Args:
        recipes: by name.
        weights: pretrained weights, see `recipe.build`.
    """
    wanted = {name: {**recipe.to_dict(), "taught": False} for name, recipe in recipes.items()}
    for name, recipe in recipes.items():
        if recipe.pretrained:
            wanted[name]["weights"] = None if weights is None else Path(str(weights)).name
            if isinstance(weights, Path) and weights.is_file():
                wanted[name]["weights_hash"] = file_hash(weights)
    return wanted


def agree(
    out: Path,
    about: Mapping[str, Any],
    wanted: Settings,
    task: str = "classify",
    data: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Check that a study may use an output folder, and record its settings there.

    Args:
        out: the folder; it is created if missing.
        about: plain values that all runs of the folder share: ``command``, ``data`` (hash) and others. One that an
            earlier version did not record is not compared.
        wanted: the settings of the networks to train, by name. Others may be added later.
        task: of all runs of the folder.
        data: what the records of all runs of the folder have in common of their data.

    Returns:
        The settings of all networks of the folder, those added before first.

    Raises:
        RunError: the folder was started with other values, or holds runs of one of these names with other settings,
            or runs without ``study.json`` that do not belong to the study.
    """
    path = out / NAME
    content = json.loads(json.dumps({"about": dict(about), "recipes": wanted}))
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            old_about, old_recipes = dict(before["about"]), {name: dict(old) for name, old in before["recipes"].items()}
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error!r}): delete it, the runs are checked one by one too") from None
        _compare(str(out), old_about, content["about"])
        for name in wanted.keys() & old_recipes.keys():
            _compare(str(out / name), old_recipes[name], content["recipes"][name])
        content["recipes"] = old_recipes | content["recipes"]
    else:
        for record in sorted(out.glob("*/*/run.json")):
            check_same(record.parent, read_record(record.parent), task, {}, data or {})
    checked = content["recipes"]
    if task == "detect":  # whose epochs follow from the budget
        checked = {name: {key: value for key, value in old.items() if key != "epochs"} for name, old in checked.items()}
    tabulated(out, checked, task, data or {})
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
    return dict(content["recipes"])


def tabulated(out: Path, recipes: Settings, task: str, data: Mapping[str, Any]) -> dict[str, dict[int, Path]]:
    """Return the finished runs of a study's table, if they belong together.

    Args:
        out: the study's folder.
        recipes: the settings of the runs of each name.
        task, data: what all runs have in common, see `agree`.

    Returns:
        The folders by name and seed; no entry for a name without finished runs.

    Raises:
        RunError: a run is of another task, other data, settings or a seed that is not its folder's, or was trained on
            another part of the data or for another number of epochs than the first of its name.
    """
    found = {name: finished_seeds(out / name) for name in recipes}
    for name, runs in found.items():
        alike: dict[str, Any] = {}
        for seed, run in runs.items():
            record = read_record(run)
            check_same(run, record, task, {**recipes[name], "seed": seed}, data)
            for what, value in (
                ("for another number of epochs", record.settings["epochs"]),
                ("on other images or labels", record.data["hash"]),
            ):
                if alike.setdefault(what, value) != value:
                    first = next(iter(runs.values()))
                    raise RunError(f"{run} was trained {what} than {first}: move one of them, or name another --out")
    return {name: runs for name, runs in found.items() if runs}


def is_finished(run: Path) -> bool:
    """Return whether a folder holds a finished run."""
    return (run / "run.json").exists() and read_record(run).is_finished


def is_resumable(run: Path, epochs: int) -> bool:
    """Return whether a folder holds a run to resume, interrupted or finished.

    Raises:
        RunError: the run has another number of epochs, so it cannot be compared with the others.
    """
    if not (run / "run.json").exists():
        return False
    before = read_record(run).settings["epochs"]
    if before != epochs:
        raise RunError(f"{run} was started with epochs={before}, not {epochs}: request the same, or name another --out")
    return True


def finished_seeds(folder: Path) -> dict[int, Path]:
    """Return the finished runs of a recipe's folder by seed, in ascending order."""
    seeds = sorted(int(run.name[4:]) for run in folder.glob("seed*") if run.name[4:].isdecimal())
    runs = {seed: folder / f"seed{seed}" for seed in seeds}
    return {seed: run for seed, run in runs.items() if is_finished(run)}


def read_predictions(run: Path) -> dict[str, np.ndarray]:
    """Return a finished classifier's predictions on its validation images.

    Arrays: ``logits`` (N, C), ``labels`` (N,) and ``ids`` (N,).

    Raises:
        RunError: the file is missing or damaged, or has the predictions of another run.
    """
    path, record = run / "predictions.npz", read_record(run, "classify")
    try:
        kept = read_npz(path, MAX_BYTES)
    except NpzError as error:
        raise RunError(f"{path} is missing or damaged ({error}): train the run again in a new folder") from None
    logits, labels, ids = (kept.get(name, np.zeros(0)) for name in ("logits", "labels", "ids"))
    classes = record.model["classes"]
    if not (
        (logits.dtype.kind, labels.dtype.kind, ids.dtype.kind) in (("f", "i", "U"), ("f", "u", "U"))
        and ids.ndim == 1
        and ids.size
        and labels.shape == ids.shape
        and logits.shape == (*ids.shape, len(classes))
        and np.isfinite(logits).all()
        and 0 <= labels.min() <= labels.max() < len(classes)
    ):
        raise RunError(f"{path} holds no predictions of {len(classes)} classes: train the run again in a new folder")
    found = classification_metrics(softmax(logits), labels, classes)
    for name in ("accuracy", "macro_f1"):
        recorded = record.metrics.get(name)
        if recorded is not None and abs(getattr(found, name) - recorded) > TOLERANCE:
            raise RunError(
                f"{path} is of another run: its {name} is {getattr(found, name):.4f}, and {run / 'run.json'} has "
                f"{recorded:.4f}; copy the run again, with all its files"
            )
    return {"logits": logits, "labels": labels, "ids": ids}


def _compare(subject: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name, value in now.items():
        if before.get(name, value) != value:
            difference = {"data": "on other data", "labels": "with other labels of the same images"}.get(
                name, f"with {name}={before[name]}, not {value}"
            )
            raise RunError(f"{subject} was started {difference}: request the same, or name another --out")
