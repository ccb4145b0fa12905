"""`galaxy-edge eval pipeline`: measure both networks together.

It shows at which step galaxies are lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...export.baselines import centre_box, extended_sources
from ...export.tuned_sep import tuned_sources
from ...models.boxes import iou_matrix
from ...models.bundle import Bundle
from ...models.detection_metrics import MATCH_IOU
from ...models.intervals import wilson_interval
from ...models.labels import CLASSES, coarse_group
from ...runtime.inference.classifier import Classifier
from ...runtime.inference.detector import Detector
from ...runtime.inference.evaluation import class_columns
from ...training.data.errors import DataError
from ...training.data.sample import Sample
from ...training.formats.read_set import read_set
from ...training.scenes.evaluation_scenes import EvaluationScene, EvaluationScenes
from .evaluate import Progress, held_out_samples
from .records.evaluation import LossShares, PipelineMetrics, PipelineSituation

DETECTOR = "detector"


def evaluate_pipeline(
    detect: Bundle,
    classify: Bundle,
    data: Path,
    variant: str,
    engine: str,
    threads: int,
    progress: Progress,
    *,
    held_out: bool = False,
    seed: int = 1,
) -> dict[str, PipelineSituation]:
    """Measure detector and classifier together in every situation.

    A galaxy is found if a detection at the operating threshold overlaps its box by IoU 0.5; if several do, the one
    with the highest score counts. The classifier is run on the detection's box and again on the true box, which shows
    the effect of the detector's box.

    Args:
        held_out: exclude the samples that either bundle was trained on, and scenes of those on which the detector's
            threshold was chosen.
        seed: of the composed and off-centre scenes.

    Returns:
        By situation, with the baselines of `records.evaluation.BASELINES`, at any score, as the detector.

    Raises:
        DataError: there is no boxed galaxy, or the threshold was chosen on all scenes with one.
    """
    # Many parameters because the command passes on its options, and most of them are needed in one place only.
    samples = read_set(data, stretch=detect.stretch)  # as in a run: an image is developed for the detector
    if held_out:
        samples = held_out_samples(samples, [detect, classify], data)
    detector = Detector(detect, variant, engine, threads)
    classifier = Classifier(classify, variant, engine, threads)
    scenes = EvaluationScenes(samples, detect.input_size[0], seed)
    # Where no constant box is fitted, it has the median size of a situation's galaxies, so it needs all scenes.
    boxes = _boxes_by_situation(scenes, progress)
    if not boxes:
        raise DataError(f"{data} holds no galaxy with a box")
    own = set(detect.manifest.data.sets) if held_out else set()
    outcomes: dict[str, dict[str, list[GalaxyOutcome]]] = {name: {} for name in boxes}
    for done, scene in enumerate(scenes, len(scenes)):
        progress(done, 2 * len(scenes))
        if not len(scene.scene.boxes) or (scene.selects and own & {sample.set for sample in scene.samples}):
            continue
        image = scene.scene.image
        detections = {
            DETECTOR: detector(image).boxes,
            "centre_box": centre_box(image[None], boxes[scene.situation], scene.situation)[0][0],
            "sep": extended_sources(image[None])[0][0],
            "sep_tuned": tuned_sources(image[None])[0][0],
        }
        for finder, found in detections.items():
            outcomes[scene.situation].setdefault(finder, []).extend(galaxy_outcomes(classifier, scene, found))
    result = {}
    for name, by_finder in outcomes.items():
        if not by_finder:
            continue  # the threshold was chosen on all of its scenes
        summaries = {finder: summarise(galaxies) for finder, galaxies in by_finder.items()}
        result[name] = PipelineSituation(summaries.pop(DETECTOR), summaries)
    if not result:
        raise DataError(f"the detector's threshold was chosen on every scene of {data} with a galaxy: omit --held-out")
    return result


def _boxes_by_situation(scenes: EvaluationScenes, progress: Progress) -> dict[str, np.ndarray]:
    """Gather the boxes (N, 4) of every situation that has any."""
    boxes: dict[str, list[np.ndarray]] = {}
    for done, scene in enumerate(scenes):
        progress(done, 2 * len(scenes))
        if len(scene.scene.boxes):
            boxes.setdefault(scene.situation, []).append(scene.scene.boxes)
    return {name: np.concatenate(group) for name, group in boxes.items()}


class GalaxyOutcome(NamedTuple):
    """Whether a galaxy was found, and its predicted classes.

    They are predicted from the detection's and from the true box.
    """

    sample: Sample
    found: bool
    predicted: int
    predicted_from_truth: int


def galaxy_outcomes(classifier: Classifier, scene: EvaluationScene, found: np.ndarray) -> list[GalaxyOutcome]:
    """Return the outcome of every galaxy of a scene.

    Args:
        found: boxes (K, 4) of a detector, highest score first.
    """
    columns = class_columns(classifier)
    image, boxes = scene.scene.image, scene.scene.boxes
    overlaps = iou_matrix(found, boxes)
    outcomes = []
    for number, (box, sample) in enumerate(zip(boxes, scene.samples, strict=True)):
        hits = np.flatnonzero(overlaps[:, number] >= MATCH_IOU)
        areas = np.stack([found[hits[0]] if len(hits) else box, box])
        classes = classifier.box_probabilities(image, areas)[:, columns].argmax(axis=1)
        outcomes.append(GalaxyOutcome(sample, bool(len(hits)), int(classes[0]), int(classes[1])))
    return outcomes


def summarise(outcomes: Sequence[GalaxyOutcome]) -> PipelineMetrics:
    """Summarise the outcomes of a situation."""
    classes = [
        (outcome, outcome.predicted == outcome.sample.label, outcome.predicted_from_truth == outcome.sample.label)
        for outcome in outcomes
        if outcome.sample.label >= 0
    ]
    groups = [
        (
            outcome,
            coarse_group(CLASSES[outcome.predicted]) == outcome.sample.coarse,
            coarse_group(CLASSES[outcome.predicted_from_truth]) == outcome.sample.coarse,
        )
        for outcome in outcomes
        if outcome.sample.coarse
    ]
    return PipelineMetrics(
        galaxies=len(outcomes),
        found=float(np.mean([outcome.found for outcome in outcomes])),
        interval=wilson_interval(sum(outcome.found for outcome in outcomes), len(outcomes)),
        classes=_loss_shares(classes),
        groups=_loss_shares(groups),
    )


def _loss_shares(rows: Sequence[tuple[GalaxyOutcome, bool, bool]]) -> LossShares | None:
    """Compute shares of galaxies by where they are lost.

    The booleans are correctness from either box.
    """
    if not rows:
        return None
    found = np.array([outcome.found for outcome, _, _ in rows])
    right = np.array([correct for _, correct, _ in rows])
    right_true = np.array([correct for _, _, correct in rows])
    return LossShares(
        galaxies=len(rows),
        found=float(found.mean()),
        right=float((found & right).mean()),
        interval=wilson_interval(int((found & right).sum()), len(rows)),
        lost_unfound=float((~found).mean()),
        lost_by_frame=float((found & ~right & right_true).mean()),
        lost_by_name=float((found & ~right & ~right_true).mean()),
    )
