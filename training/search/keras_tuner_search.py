"""Search the report's space by Bayesian optimisation of the accuracy.

See section 2.9.2 of the university report.

KerasTuner's BayesianOptimization, a Gaussian process, over two convolutions and a dense layer. As in the report, the
objective is the accuracy; the macro F1 and the cost of every trial are recorded too, but do not affect the search.

It runs in one process, or in several, see `keras_tuner_roles`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...models.classification_metrics import classification_metrics
from ...models.decode import softmax
from ...models.labels import CLASSES
from ..classifier.keras_utils import multiply_adds
from ..data.splits import class_label
from ..run import lock_run_folder, write_json
from .keras_tuner_roles import TunerError, chief_fails, role_of_process, wait_for_chief
from .report_space import describe_space, report_hypermodel

logger = logging.getLogger(__name__)

PROJECT = "tuner"
BATCH = 64
SETTINGS = {"epochs", "seed", "classes", "data"}
"""What every version recorded of a search, in ``search.json``."""


def search_report(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    out: Path,
    trials: int,
    epochs: int,
    seed: int = 1,
    resume: bool = False,
    classes: tuple[str, ...] = CLASSES,
) -> list[dict[str, Any]]:
    """Search the report's space, and write ``trials.json`` into `out`.

    Args:
        train, validation: images (N, size, size, 3) uint8 and labels (N,) 0..C-1. The search maximises the accuracy on
            `validation` after the last epoch.
        out: the folder.
        trials: number of trials, including those before a resume.
        epochs: of each trial.
        resume: continue the search in `out`; a trial that was interrupted starts again.
        classes: C class names.

    Returns:
        One dict per trial, the most accurate first: trial, values (name -> choice), accuracy, macro_f1, macs,
        parameters. Empty in a worker: the chief has them.

    Raises:
        TunerError: the arrays do not match, `out` contains another search (or any, without `resume`), or the chief
            cannot be reached.
        RunError: another process searches in `out`.
    """
    role = role_of_process()
    size = _check_size(train, validation, classes)
    settings = {
        "epochs": epochs,
        "seed": seed,
        "classes": list(classes),
        "data": _data_digest(*train, *validation),
        "space": describe_space(size, len(classes)),
    }
    if role == "worker":
        wait_for_chief()  # the chief creates the folder, and locks it
    with contextlib.nullcontext() if role == "worker" else lock_run_folder(out):
        _check_settings(out, settings, resume, role)
        if role != "worker":
            _check_project(out / PROJECT)
        return _search(train, validation, out, trials, epochs, seed, classes, role)


# Long because KerasTuner's tuner class needs the variables around it. Many parameters: the above's.
def _search(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    out: Path,
    trials: int,
    epochs: int,
    seed: int,
    classes: tuple[str, ...],
    role: str,
) -> list[dict[str, Any]]:
    import keras_tuner
    import tensorflow as tf

    from .keras_tuner_oracle import DurableOracle

    size = train[0].shape[1]
    # KerasTuner takes a seed of 0 for no seed.
    oracle = DurableOracle(keras_tuner.Objective("accuracy", "max"), max_trials=trials, seed=seed + 1)

    class Tuner(keras_tuner.Tuner):  # type: ignore[misc]
        """A tuner that trains one trial and measures it."""

        def run_trial(self, trial: Any, *_: Any, **__: Any) -> dict[str, float]:
            try:
                keras.backend.clear_session()
                keras.utils.set_random_seed(int(np.random.default_rng([seed, int(trial.trial_id)]).integers(2**31)))
                model = self.hypermodel.build(trial.hyperparameters)
                model.fit(train[0], train[1], batch_size=BATCH, epochs=epochs, verbose=0)
                logits = model.predict(validation[0], batch_size=BATCH, verbose=0)
                scores = classification_metrics(softmax(logits), validation[1], classes)
                result = {
                    "accuracy": scores.accuracy,
                    "macro_f1": scores.macro_f1,
                    "macs": multiply_adds(model),
                    "parameters": model.count_params(),
                }
                logger.info(
                    "trial %s: accuracy %.4f, macro F1 %.4f, %s MACs",
                    trial.trial_id,
                    result["accuracy"],
                    result["macro_f1"],
                    f"{result['macs']:,}",
                )
                return result
            except Exception as error:
                # KerasTuner would count any other error as a failed trial; a fatal one is tried again by a resume.
                raise keras_tuner.errors.FatalError(str(error)) from error

    with contextlib.redirect_stdout(sys.stderr):  # KerasTuner prints what it reloads
        try:
            tuner = Tuner(
                oracle,
                lambda hp: report_hypermodel(hp, size, len(classes)),
                directory=str(out),
                project_name=PROJECT,
                overwrite=False,
            )
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError, tf.errors.OpError) as error:
            raise TunerError(f"{out / PROJECT} is damaged ({error}): name another folder") from None
        try:
            with chief_fails(role):
                tuner.search(verbose=0)
        except keras_tuner.errors.FatalError as fatal:
            raise (fatal.__cause__ or fatal) from None
    if role == "worker":
        return []
    completed = [trial for trial in oracle.trials.values() if trial.status == "COMPLETED"]
    rows = sorted((_trial_row(trial) for trial in completed), key=lambda row: -row["accuracy"])
    write_json(out / "trials.json", {"epochs": epochs, "seed": seed, "trials": rows})
    if failed := sorted(name for name, trial in oracle.trials.items() if trial.status == "FAILED"):
        raise TunerError(f"trials that failed, and are missing in the table: {', '.join(failed)}; try again: --resume")
    return rows


def _trial_row(trial: Any) -> dict[str, Any]:
    metrics = {name: trial.metrics.get_last_value(name) for name in ("accuracy", "macro_f1", "macs", "parameters")}
    return {
        "trial": int(trial.trial_id),
        "values": dict(trial.hyperparameters.values),
        "accuracy": float(metrics["accuracy"]),
        "macro_f1": float(metrics["macro_f1"]),
        "macs": int(metrics["macs"]),
        "parameters": int(metrics["parameters"]),
    }


def _check_size(
    train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray], names: Sequence[str]
) -> int:
    """Check both parts; return the side of their images in pixels."""
    _check_arrays(train, "training", names)
    _check_arrays(validation, "validation", names)
    size, other = train[0].shape[1], validation[0].shape[1]
    if size != other:
        raise TunerError(
            f"training images are {size} pixels wide and validation images {other}: give both the same size"
        )
    return int(size)


def _check_arrays(data: tuple[np.ndarray, np.ndarray], part: str, names: Sequence[str]) -> None:
    images, labels = data
    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3 or images.dtype != np.uint8:
        raise TunerError(f"images are {images.shape} {images.dtype}; (N, size, size, 3) uint8 is needed")
    if images.shape[1] < 8 or not len(images) or labels.shape != (len(images),):
        raise TunerError(
            f"images {images.shape} and labels {labels.shape} do not match, are too small, or there are none"
        )
    if labels.min() < 0 or labels.max() >= len(names):
        raise TunerError(f"labels run from {labels.min()} to {labels.max()}, not within 0..{len(names) - 1}")
    missing = [class_label(label, names) for label in range(len(names)) if label not in labels]
    if missing and part == "training":
        raise TunerError(f"there is no training image of {', '.join(missing)}: add some, or leave the class out")


def _data_digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check_settings(out: Path, settings: dict[str, Any], resume: bool, role: str) -> None:
    """Record the settings in a new folder, or check those of an existing search.

    A worker only checks them.
    """
    path = out / "search.json"
    if not path.exists():
        if role == "worker":
            raise TunerError(f"{out} has no search.json of the chief: name the chief's --out, which both must share")
        if (out / PROJECT).exists():
            raise TunerError(f"{out} holds a search without its search.json: restore it, or name another folder")
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
        return
    if not resume and role != "worker":
        raise TunerError(f"{out} already holds a search: resume it, or name another folder")
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (RecursionError, TypeError, ValueError) as error:
        raise TunerError(f"{path} is damaged: {error}") from None
    if missing := sorted(SETTINGS - before.keys()):
        raise TunerError(f"{path} is damaged: it has no {', '.join(missing)}")
    for name, value in json.loads(json.dumps(settings)).items():
        # Searches of earlier versions did not record their space, which was this one.
        if before.get(name, value) != value:
            others = {"data": "other data", "space": "another space of networks"}
            difference = others.get(name, f"{name}={before.get(name)}, not {value}")
            raise TunerError(f"{out} was started with {difference}: continue with the same, or name another folder")


def _check_project(project: Path) -> None:
    """Check that KerasTuner will continue a search, not start a new one.

    It starts a new one without the file that it writes in place after each trial, whose content is always the same.
    """
    if (project / "oracle.json").exists():
        write_json(project / f"{os.environ.get('KERASTUNER_TUNER_ID', 'tuner0')}.json", {})
    elif len(list(project.glob("trial_*"))) > 1:
        raise TunerError(f"{project} is damaged (oracle.json is missing): name another folder")
