"""`galaxy-edge eval pipeline`: both networks together, and at which step a galaxy is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...export.baselines import centre_box, extended_sources
from ...models.boxes import iou_matrix
from ...models.bundle import Bundle
from ...models.detection_metrics import MATCH_IOU
from ...models.labels import CLASSES, coarse_group
from ...runtime.inference.classifier import Classifier
from ...runtime.inference.detector import Detector
from ...training.data.sample import DataError, Sample, read_set
from ...training.scenes.evaluation_scenes import EvaluationScene, EvaluationScenes
from .evaluate import Progress, held_out_samples

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
    only_unseen: bool = False,
    seed: int = 1,
) -> dict[str, Any]:
    """Measure detector and classifier together, situation by situation.

    A galaxy is found where a detection at the operating threshold overlaps its box by IoU 0.5; of several the best
    scored. It is named by the classifier from the detection's box, and once more from the true box, which tells what
    the detector's frame costs.

    Args:
        only_unseen: leave out what either bundle was trained on.
        seed: of the frames that are composed or cut off centre.

    Returns:
        By situation: ``galaxies`` and ``found``, 0..1, of all that are boxed; and for those with one of the nine
        classes (``classes``) and with a coarse group (``groups``): ``galaxies``, ``found``, ``right`` (found and given
        the right name), ``lost_unfound``, ``lost_by_frame`` (found, named rightly from the true box only),
        ``lost_by_name`` (found, named wrongly from either). The last four add up to 1; None where there are no
        galaxies of the kind. ``centre_box`` and ``sep``: the same where these baselines stand for the detector, with
        all that they find.

    Raises:
        DataError: there is no boxed galaxy.
    """
    samples = read_set(data)
    if only_unseen:
        samples = held_out_samples(samples, [detect, classify], data)
    detector = Detector(detect, variant, engine, threads)
    classifier = Classifier(classify, variant, engine, threads)
    names = np.array([classifier.classes.index(name) for name in CLASSES])
    everything = EvaluationScenes(samples, detect.input_size[0], seed)
    # The constant box has the median size of a situation's galaxies, so all views are seen before the first is judged.
    boxes: dict[str, list[np.ndarray]] = {}
    for done, view in enumerate(everything):
        progress(done, 2 * len(everything))
        if len(view.scene.boxes):
            boxes.setdefault(view.situation, []).append(view.scene.boxes)
    if not boxes:
        raise DataError(f"{data} holds no galaxy with a box")
    whole = {name: np.concatenate(group) for name, group in boxes.items()}
    fates: dict[str, dict[str, list[GalaxyOutcome]]] = {name: {} for name in whole}
    for done, view in enumerate(everything, len(everything)):
        progress(done, 2 * len(everything))
        if not len(view.scene.boxes):
            continue
        image = view.scene.image
        found = {
            DETECTOR: detector(image).boxes,
            "centre_box": centre_box(image[None], whole[view.situation])[0][0],
            "sep": extended_sources(image[None])[0][0],
        }
        for finder, some in found.items():
            fates[view.situation].setdefault(finder, []).extend(_galaxy_outcomes(classifier, names, view, some))
    summed = {name: {finder: _summarise(of) for finder, of in group.items()} for name, group in fates.items()}
    return {name: group.pop(DETECTOR) | group for name, group in summed.items()}


class GalaxyOutcome(NamedTuple):
    """What became of a galaxy: whether it was found, and the classes named from the detection's and the true box."""

    sample: Sample
    found: bool
    named: int
    named_true: int


def _galaxy_outcomes(
    classifier: Classifier, names: np.ndarray, view: EvaluationScene, found: np.ndarray
) -> list[GalaxyOutcome]:
    """Follow the galaxies of a view: `found` are the boxes (K, 4) of a detector, the best scored first."""
    image, boxes = view.scene.image, view.scene.boxes
    overlaps = iou_matrix(found, boxes)
    fates = []
    for number, (box, sample) in enumerate(zip(boxes, view.samples, strict=True)):
        hits = np.flatnonzero(overlaps[:, number] >= MATCH_IOU)
        frames = [found[hits[0]] if len(hits) else box, box]
        crops = np.stack([classifier.crop(image, frame) for frame in frames])
        named = classifier.probabilities(crops)[:, names].argmax(axis=1)
        fates.append(GalaxyOutcome(sample, bool(len(hits)), int(named[0]), int(named[1])))
    return fates


def _summarise(fates: list[GalaxyOutcome]) -> dict[str, Any]:
    classes = [
        (fate, fate.named == fate.sample.label, fate.named_true == fate.sample.label)
        for fate in fates
        if fate.sample.label >= 0
    ]
    groups = [
        (
            fate,
            coarse_group(CLASSES[fate.named]) == fate.sample.coarse,
            coarse_group(CLASSES[fate.named_true]) == fate.sample.coarse,
        )
        for fate in fates
        if fate.sample.coarse
    ]
    return {
        "galaxies": len(fates),
        "found": float(np.mean([fate.found for fate in fates])),
        "classes": _loss_shares(classes),
        "groups": _loss_shares(groups),
    }


def _loss_shares(followed: list[tuple[GalaxyOutcome, bool, bool]]) -> dict[str, Any] | None:
    if not followed:
        return None
    found = np.array([fate.found for fate, _, _ in followed])
    right, right_true = (np.array([row[place] for row in followed]) for place in (1, 2))
    return {
        "galaxies": len(followed),
        "found": float(found.mean()),
        "right": float((found & right).mean()),
        "lost_unfound": float((~found).mean()),
        "lost_by_frame": float((found & ~right & right_true).mean()),
        "lost_by_name": float((found & ~right & ~right_true).mean()),
    }
