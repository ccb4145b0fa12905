"""Check that the runs in the output folder of a study belong together.

``study.json`` holds the data's hash, the settings of the command, and every recipe of the folder. It is checked before
the first training: a fold or a seed of other settings is reported at once, not after hours.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files import file_hash
from ..classifier.recipe import Recipe
from ..run import RunError, read_record, write_json

NAME = "study.json"


def agree(out: Path, about: Mapping[str, Any], recipes: Mapping[str, Recipe], weights: Any = None) -> list[str]:
    """Check that a study may use an output folder, and record its settings there.

    Args:
        out: the folder; it is created if missing.
        about: plain values that all runs of the folder share: ``command``, ``data`` (hash) and others.
        recipes: the recipes to train, by name. Others may be added later.
        weights: pretrained weights, see `recipe.build`.

    Returns:
        The names of all recipes of the folder, those added before first.

    Raises:
        RunError: the folder was started with other values, or holds runs of one of these names with other settings.
    """
    wanted = {name: recipe.to_dict() for name, recipe in recipes.items()}
    for name, recipe in recipes.items():
        if recipe.pretrained:
            wanted[name]["weights"] = None if weights is None else Path(str(weights)).name
            if isinstance(weights, Path) and weights.is_file():
                wanted[name]["weights_hash"] = file_hash(weights)
    return agree_plain(out, about, wanted)


def agree_plain(out: Path, about: Mapping[str, Any], wanted: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Check the settings of networks as plain values, by name; see `agree`."""
    path = out / NAME
    content = json.loads(json.dumps({"about": dict(about), "recipes": wanted}))
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            old_about, old_recipes = dict(before["about"]), dict(before["recipes"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error!r}): delete it, the runs are checked one by one too") from None
        _compare(str(out), old_about, content["about"])
        for name in wanted.keys() & old_recipes.keys():
            _compare(str(out / name), old_recipes[name], content["recipes"][name])
        content["recipes"] = old_recipes | content["recipes"]
    elif any(out.glob("*/*/run.json")):
        return list(wanted)  # runs of an earlier version are checked one by one; this command may not belong to them
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
    return list(content["recipes"])


def read_predictions(run: Path) -> dict[str, np.ndarray]:
    """Return a finished classifier's predictions on its validation images.

    Arrays: ``logits``, ``labels`` and ``ids``.

    Raises:
        RunError: the file is missing or damaged.
    """
    path = run / "predictions.npz"
    try:
        with np.load(path) as kept:
            return dict(kept)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        raise RunError(f"{path} is missing or damaged: train the run again in a new folder") from None


def is_finished(run: Path) -> bool:
    """Return whether a folder holds a finished run."""
    return (run / "run.json").exists() and read_record(run).is_finished


def finished_seeds(folder: Path) -> dict[int, Path]:
    """Return the finished runs of a recipe's folder by seed, in ascending order."""
    runs = {int(run.name.removeprefix("seed")): run for run in folder.glob("seed*") if run.name[4:].isdecimal()}
    return {seed: runs[seed] for seed in sorted(runs) if is_finished(runs[seed])}


def _compare(subject: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            difference = "on other data" if name == "data" else f"with {name}={before.get(name)}, not {value}"
            raise RunError(f"{subject} was started {difference}: request the same, or name another --out")
