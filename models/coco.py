"""Average precision and recall of detections by pycocotools.

Their intervals come from resampling frames.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..extras import extra_command
from .boxes import smaller_share
from .intervals import DRAWS, bootstrap_interval

CocoFrame = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""True boxes (N, 4), ignore boxes (M, 4), detections (K, 4) and their scores (K,)."""

LARGEST_IGNORED = 4.0
"""Area of a detection, in areas of an ignore box, above which covering that box does not excuse the detection."""
KEYS = ("map50", "map", "ar1", "ar10")


def ignored_overlap(boxes: np.ndarray, ignore: np.ndarray) -> np.ndarray:
    """Return by how much detections and ignore boxes are the same object.

    Detections (N, 4) and ignore boxes (M, 4) give (N, M) in 0..1.

    It is the share of either box that both have in common. COCO's rule for crowds takes the share of the detection
    alone, because a crowd is a region of many objects; here an ignore box is one object whose box is uncertain, and a
    correct detection of it may be larger than that box. A detection of more than `LARGEST_IGNORED` times its area is
    measured by the detection's own share, so that no detection is excused by a small object somewhere inside.
    """
    return smaller_share(boxes, ignore, LARGEST_IGNORED)


def average_precision(frames: Sequence[CocoFrame]) -> dict[str, float | None]:
    """Return average precision and recall by COCOeval, for one category.

    Source: Lin et al. 2014, arXiv:1405.0312.

    Returns:
        ``map50``, ``map``, ``ar1`` and ``ar10``, see `detection_metrics.detection_metrics`; None without true boxes.
    """
    evaluation = _run(frames)
    if evaluation is None:
        return dict.fromkeys(KEYS)
    precision = evaluation.eval["precision"][:, :, 0, 0, -1]  # IoU, recall point
    recall = evaluation.eval["recall"][:, 0, 0]  # IoU, detections per frame: 1, 10, 100
    return {
        "map50": float(precision[0].mean()),
        "map": float(precision.mean()),
        "ar1": float(recall[:, 0].mean()),
        "ar10": float(recall[:, 1].mean()),
    }


def average_precision_intervals(frames: Sequence[CocoFrame]) -> dict[str, tuple[float, float] | None]:
    """Return the 95 % intervals of `average_precision`.

    Frames are drawn with replacement. An interval is None without true boxes.
    """
    evaluation = _run(frames)
    if evaluation is None:
        return dict.fromkeys(KEYS)
    draws = _Resampled(evaluation)
    values = np.array(bootstrap_interval(draws.measure, len(frames)))
    return {key: (float(values[0, index]), float(values[1, index])) for index, key in enumerate(KEYS)}


def map50_loss_chance(before: Sequence[CocoFrame], after: Sequence[CocoFrame]) -> float | None:
    """Return how often `after` has at least the AP at IoU 0.5 of `before`.

    Both are detections in the same frames, which are drawn with replacement, the same ones for both (paired
    bootstrap).

    Returns:
        The share of the draws, 0..1; None without true boxes.
    """
    first, second = (_run(frames) for frames in (before, after))
    if first is None or second is None:
        return None
    both = _Resampled(first), _Resampled(second)
    rng, count = np.random.default_rng(0), len(before)
    losses = []
    for _ in range(DRAWS):
        weights = rng.multinomial(count, np.full(count, 1 / count))
        losses.append(both[0].measure(weights)[0] - both[1].measure(weights)[0])
    drawn = np.array(losses)[~np.isnan(losses)]
    return float(np.mean(drawn <= 0)) if len(drawn) else None


class _Resampled:
    """Measures drawn frames from the matches of COCOeval, without matching again."""

    def __init__(self, evaluation: Any) -> None:
        images = evaluation.evalImgs  # None where a frame has neither detections nor boxes
        levels = len(evaluation.params.iouThrs)
        self._recalls = evaluation.params.recThrs
        self._boxes = np.array([0 if image is None else int((image["gtIgnore"] == 0).sum()) for image in images])
        found = [image for image in images if image is not None]
        empty = np.zeros((levels, 0), bool)
        matched = np.concatenate([empty, *((image["dtMatches"] > 0) for image in found)], axis=1)
        counted = ~np.concatenate([empty, *(image["dtIgnore"].astype(bool) for image in found)], axis=1)
        scores = np.concatenate([np.zeros(0), *(image["dtScores"] for image in found)])
        numbers = [index for index, image in enumerate(images) if image is not None]
        frame = np.repeat(np.array(numbers, int), [len(image["dtScores"]) for image in found])
        order = np.argsort(-scores, kind="mergesort")
        self._frame, self._right, self._wrong = (
            frame[order], (matched & counted)[:, order], (~matched & counted)[:, order],
        )  # fmt: skip
        self._best = np.zeros((2, len(images), levels))
        for number, image in zip(numbers, found, strict=True):
            right = (image["dtMatches"] > 0) & ~image["dtIgnore"].astype(bool)
            self._best[:, number] = right[:, :1].sum(axis=1), right[:, :10].sum(axis=1)

    def measure(self, weights: np.ndarray) -> np.ndarray:
        """Return the values of `KEYS` where frame i was drawn ``weights[i]`` times.

        Values are NaN without a true box.
        """
        total = float(weights @ self._boxes)
        if not total:
            return np.full(len(KEYS), np.nan)
        drawn = weights[self._frame]
        right, wrong = np.cumsum(self._right * drawn, axis=1), np.cumsum(self._wrong * drawn, axis=1)
        precision = right / np.maximum(right + wrong, 1e-12)
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        by_level = np.zeros((len(right), len(self._recalls)))
        for level, (recall, values) in enumerate(zip(right / total, precision, strict=True)):
            first = np.searchsorted(recall, self._recalls, side="left")
            by_level[level, first < len(values)] = values[first[first < len(values)]]
        best = np.einsum("f,kfl->k", weights, self._best) / (total * len(right))
        return np.array([by_level[0].mean(), by_level.mean(), *best])


def _run(frames: Sequence[CocoFrame]) -> Any:
    """Run COCOeval over frames; return None without true boxes.

    Raises:
        ModuleNotFoundError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"average precision is measured by pycocotools: {extra_command('bench')}", name=missing.name
        ) from missing
    if not any(len(truth) for truth, _, _, _ in frames):
        return None

    class Evaluation(COCOeval):  # type: ignore[misc] # pycocotools has no types
        """COCOeval whose ignored objects overlap by `ignored_overlap`."""

        def computeIoU(self, imgId: int, catId: int) -> Any:  # names of pycocotools
            overlaps = super().computeIoU(imgId, catId)
            truth, ignore, boxes, scores = frames[imgId]
            if len(overlaps) and len(ignore):
                order = np.argsort(-scores, kind="mergesort")[: self.params.maxDets[-1]]
                overlaps[:, len(truth) :] = ignored_overlap(boxes[order], ignore)
            return overlaps

    true, found = _annotations(frames)

    def index(annotations: list[dict[str, Any]]) -> Any:
        coco = COCO()
        coco.dataset = {
            "images": [{"id": number} for number in range(len(frames))],
            "categories": [{"id": 1, "name": "galaxy"}],
            # COCOeval uses the id 0 for "not matched", so ids start at 1.
            "annotations": [{**entry, "id": number} for number, entry in enumerate(annotations, 1)],
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = Evaluation(index(true), index(found), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _annotations(frames: Sequence[CocoFrame]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the true and the found boxes as COCO's annotations.

    Ignore boxes follow the true ones of their frame.
    """

    def annotation(frame: int, box: np.ndarray, **more: Any) -> dict[str, Any]:
        x, y, width, height = (float(value) for value in (box[0], box[1], box[2] - box[0], box[3] - box[1]))
        area = width * height
        return {"image_id": frame, "category_id": 1, "bbox": [x, y, width, height], "area": area, "iscrowd": 0, **more}

    true, found = [], []
    for number, (truth, ignore, boxes, scores) in enumerate(frames):
        true += [annotation(number, box) for box in truth]
        true += [annotation(number, box, iscrowd=1) for box in ignore]
        found += [annotation(number, box, score=float(score)) for box, score in zip(boxes, scores, strict=True)]
    return true, found
