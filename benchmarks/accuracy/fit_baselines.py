"""Fit the detector's baselines: ``export/baselines.json``.

They are fitted on the shipped detector's training share.

``python -m galaxy_edge.benchmarks.accuracy.fit_baselines DATA`` needs scikit-learn (the train extra). The same data
give the same file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...export.baselines import extended_sources
from ...export.tuned_sep import (
    FEATURES,
    FILE,
    SIDE,
    Trees,
    ellipse_boxes,
    extract_sources,
    find_galaxies,
    tuned_sources,
)
from ...models.boxes import iou_matrix
from ...models.bundle import Bundle, shipped_bundle_path
from ...models.coco import ignored_overlap
from ...training.data.sample import Sample
from ...training.data.splits import in_share, is_held_out
from ...training.detector.operating_point import choose_threshold
from ...training.formats.read_set import read_set
from ...training.scenes.evaluation_scenes import COMPOSED, OFF_CENTRE, EvaluationScene, EvaluationScenes

SEED = 7
SCENES = {"gz_frames": 900, OFF_CENTRE: 900, COMPOSED: 600, "deepsky_frames": 1000, "sdss_starfields": 500}
"""Maximum number of scenes of each situation."""
THRESHOLD_SHARE = 0.2
"""Share of the samples on which the thresholds are chosen, with trees that are not fitted on it."""
TREES = {"n_estimators": 80, "max_depth": 3, "learning_rate": 0.12, "subsample": 0.7, "min_samples_leaf": 15}
SIZES = np.geomspace(0.6, 1.6, 15)
"""Sides of the constant box that are tried, in units of the median galaxy's."""
MATCH_IOU = 0.5


def training_share(data: Path) -> list[Sample]:
    """Return the samples of the shipped detector's training share."""
    from ...training.detector.dataset import is_trainable

    manifest = Bundle.load(shipped_bundle_path("galaxy-detector"), "detect").manifest
    split = manifest.data.split
    return [sample for sample in read_set(data) if is_trainable(sample) and not is_held_out(split, sample.digest())]


def fit(samples: list[Sample]) -> dict[str, Any]:
    """Fit the constant boxes, and the trees and thresholds of SEP.

    Returns:
        ``centre_box``: situation -> width and height as shares of the input's side; ``filter`` and ``size``: see
        `tuned_sep.Trees`, the first gives the logit of a source being a galaxy, the second the logarithm of its box's
        size; ``thresholds``: baseline -> minimum score, by the rule for a network's threshold, chosen on a share of the
        samples with trees that were fitted on the others; ``features``, ``sources`` and ``scenes``: what the trees
        returned were fitted on.
    """
    chosen_on = [sample for sample in samples if in_share(sample.digest(), THRESHOLD_SHARE, SEED)]
    held = {sample.digest() for sample in chosen_on}
    fitted = _fit_trees([sample for sample in samples if sample.digest() not in held])
    trees = {name: Trees.from_dict(fitted[name]) for name in ("filter", "size")}
    return _fit_trees(samples) | {"thresholds": _thresholds(chosen_on, trees)}


def _fit_trees(samples: list[Sample]) -> dict[str, Any]:
    """Fit the constant boxes, one for each situation, and SEP's trees; see `fit`."""
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    features, galaxy, sizes = [], [], []
    boxes: dict[str, list[np.ndarray]] = {}
    count = 0
    for scene in EvaluationScenes(samples, SIDE, SEED, SCENES):
        count += 1
        if len(scene.scene.boxes):
            boxes.setdefault(scene.situation, []).append(scene.scene.boxes)
        for row, is_galaxy, size in _sources(scene):
            features.append(row)
            galaxy.append(is_galaxy)
            sizes.append(size)
    table, labels = np.stack(features), np.array(galaxy)
    filter_trees = GradientBoostingClassifier(**TREES, random_state=SEED).fit(table, labels)
    size_trees = GradientBoostingRegressor(**TREES, loss="huber", random_state=SEED)
    size_trees.fit(table[labels], np.array(sizes)[labels])
    share = labels.mean()
    return {
        "features": list(FEATURES),
        "scenes": count,
        "sources": len(labels),
        "galaxies": int(labels.sum()),
        "centre_box": {name: constant_box(np.concatenate(group)) for name, group in sorted(boxes.items())},
        "filter": _plain(filter_trees.estimators_[:, 0], float(np.log(share / (1 - share)))),
        "size": _plain(size_trees.estimators_[:, 0], float(size_trees.init_.predict(table[:1])[0])),
    }


def _thresholds(samples: list[Sample], trees: dict[str, Any]) -> dict[str, float]:
    """Choose the minimum score of each kind of SEP.

    The rule is that for networks, see `choose_threshold`.
    """
    scenes = list(EvaluationScenes(samples, SIDE, SEED, SCENES))
    images = np.stack([scene.scene.image for scene in scenes])
    sets = np.array([scene.situation for scene in scenes])
    every = np.ones(len(scenes), bool)
    result = {}
    for name, found in (("sep", extended_sources(images)), ("sep_tuned", tuned_sources(images, model=trees))):
        frames = [(scene.truth, *detections) for scene, detections in zip(scenes, found, strict=True)]
        result[name] = round(choose_threshold(frames, sets, every), 4)
    return result


def _sources(scene: EvaluationScene) -> Iterator[tuple[np.ndarray, bool, float]]:
    """Yield the features of the sources that the truth decides.

    With them come whether each is a galaxy, and its log box size.
    """
    truth = scene.truth
    ellipses, features = extract_sources(scene.scene.image)
    if not len(ellipses):
        return
    taken, sizes = find_galaxies(ellipses, truth.boxes, (SIDE, SIDE), MATCH_IOU)
    for source in taken:
        yield features[source], True, float(sizes[source])
    centres = ellipses[:, None, :2]
    inside = np.all((centres >= truth.boxes[:, :2]) & (centres <= truth.boxes[:, 2:]), axis=2).any(axis=1)
    ignored = ignored_overlap(ellipse_boxes(ellipses, 2.4, (SIDE, SIDE)), truth.ignore).max(axis=1, initial=0.0)
    others = np.ones(len(ellipses), bool)
    others[taken] = False
    for index in np.flatnonzero(others & (ignored < 0.3)):
        if truth.complete or truth.negative or inside[index]:
            yield features[index], False, 0.0


def constant_box(boxes: np.ndarray) -> list[float]:
    """Return the centred box that matches most of the boxes (N, 4).

    It is given by width and height, as shares of `SIDE`.
    """
    width, height = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    candidates = np.array([(width * x, height * y) for x in SIZES for y in SIZES])
    centred = np.concatenate([(SIDE - candidates) / 2, (SIDE + candidates) / 2], axis=1)
    matched = (iou_matrix(centred, boxes) >= MATCH_IOU).sum(axis=1)
    return [round(float(value) / SIDE, 4) for value in candidates[int(matched.argmax())]]


def _plain(estimators: Any, base: float) -> dict[str, Any]:
    """Return fitted trees as the plain lists of `tuned_sep.Trees`.

    They are padded to one number of nodes.
    """
    trees = [estimator.tree_ for estimator in estimators]
    width = max(tree.node_count for tree in trees)
    saved: dict[str, Any] = {"base": round(base, 5), "feature": [], "left": [], "right": [], "value": []}
    for tree in trees:
        leaf = tree.children_left < 0
        values = np.where(leaf, tree.value[:, 0, 0] * TREES["learning_rate"], tree.threshold)
        columns = {"feature": np.where(leaf, -1, tree.feature), "left": np.maximum(tree.children_left, 0)}
        columns["right"] = np.maximum(tree.children_right, 0)
        for name, column in columns.items():
            padding = -1 if name == "feature" else 0
            saved[name].append([*map(int, column), *[padding] * (width - len(column))])
        saved["value"].append([*(float(f"{value:.5g}") for value in values), *[0.0] * (width - len(values))])
    return saved


if __name__ == "__main__":
    FILE.write_text(json.dumps(fit(training_share(Path(sys.argv[1]))), separators=(",", ":")) + "\n", encoding="utf-8")
