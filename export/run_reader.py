"""Read and check the record and the evaluation share of a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..training.run import RunRecord, read_record
from ..training.run_checks import fault
from .calibration_images import read_arrays
from .errors import ExportError

_NEEDED = (
    "finished",
    "settings",
    "data.hash",
    "data.sets",
    "data.split",
    "data.sources",
    "model.input.width",
    "model.input.height",
    "model.preprocess",
    "model.decode",
    "model.classes",
    "model.outputs",
    "model.parameters",
    "model.macs",
)
_BOX_ARRAYS = ("boxes", "box_frame", "ignore", "ignore_frame", "complete", "negative", "set")


def read_run(run: Path, tasks: tuple[str, ...]) -> RunRecord:
    """Read a finished run's record, and check that it suffices for an export.

    Raises:
        RunError: there is no record, or one of its values is of another kind. ExportError: the run is not finished, or
            files or values of the record are missing.
    """
    record = read_record(run)
    where = run / "run.json"
    if record.task not in tasks:
        raise ExportError(f"{where} is damaged: its task is {record.task!r}, not one of {', '.join(tasks)}")
    if not record.is_finished:
        raise ExportError(f"{run} is not finished: resume it with galaxy-edge train ... --resume")
    for file in ("saved_model", "calibration.npz", "evaluation.npz"):
        if not (run / file).exists():
            raise ExportError(f"{run} is incomplete: it has no {file}")
    if wrong := fault(record.to_dict(), _NEEDED):
        raise ExportError(f"{where} is damaged: {wrong}")
    return record


def read_evaluation(path: Path, task: str, model: dict[str, Any], labelled: bool = True) -> dict[str, np.ndarray]:
    """Read an evaluation share as written by a training.

    Args:
        path: .npz with ``images`` (n, H, W, 3) uint8 and, of a classifier, ``labels`` (n,) integers; of a
            detector, the arrays of `training.detector.evaluation.evaluation_set`.
        task: ``classify`` or ``detect``; model: with ``input`` and ``classes``.
        labelled: whether labels or boxes are required.

    Raises:
        ExportError: it is damaged, or belongs to another network.
    """
    arrays = read_arrays(path)
    width, height = model["input"]["width"], model["input"]["height"]
    images = arrays.get("images")
    if images is None or not len(images.shape and images):
        raise ExportError(f"{path} holds no images")
    if images.dtype != np.uint8 or images.shape[1:] != (height, width, 3):
        raise ExportError(f"images in {path} are {images.dtype} {images.shape}, not uint8 (n, {height}, {width}, 3)")
    if task == "classify":
        fault = _labels_fault(arrays.get("labels"), len(images), len(model["classes"]))
    elif labelled or any(name in arrays for name in _BOX_ARRAYS):
        fault = _boxes_fault(arrays, len(images))
    else:
        fault = None
    if fault:
        raise ExportError(f"{path} cannot be used for evaluation: {fault}")
    return arrays


def _labels_fault(labels: np.ndarray | None, images: int, classes: int) -> str | None:
    if labels is None:
        return "it has no array 'labels'"
    if labels.shape != (images,) or labels.dtype.kind not in "iu":
        return f"labels are {labels.dtype} {labels.shape}, not an integer for each of {images} images"
    if labels.min() < 0 or labels.max() >= classes:
        return f"labels are {labels.min()} to {labels.max()}, and there are {classes} classes"
    return None


def _boxes_fault(arrays: dict[str, np.ndarray], images: int) -> str | None:
    missing = [name for name in _BOX_ARRAYS if name not in arrays]
    if missing:
        return f"it has no array {', '.join(missing)}"
    for boxes, frames in (("boxes", "box_frame"), ("ignore", "ignore_frame")):
        corners, numbers = arrays[boxes], arrays[frames]
        if corners.ndim != 2 or corners.shape[1] != 4 or corners.dtype.kind != "f" or not np.isfinite(corners).all():
            return f"{boxes} are {corners.dtype} {corners.shape}, not finite numbers (m, 4)"
        if numbers.shape != corners.shape[:1] or numbers.dtype.kind not in "iu":
            return f"{frames} is {numbers.dtype} {numbers.shape}, not an image index for each of {len(corners)}"
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < images:
            return f"{frames} refers to images that do not exist"
    for name, kinds in (("complete", "b"), ("negative", "b"), ("set", "U")):
        if arrays[name].shape != (images,) or arrays[name].dtype.kind not in kinds:
            return f"{name} is {arrays[name].dtype} {arrays[name].shape}, and there are {images} images"
    return None
