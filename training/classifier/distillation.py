"""Soft targets for knowledge distillation, from runs or exported networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...models.bundle import Bundle
from ...models.decode import softmax
from ...models.manifest import MANIFEST
from ...runtime.inference.load import load_engine
from ..cache import cache_key, cached_array
from ..figures.explain import load_model
from ..progress import Report
from ..run import RunError, network_hash, read_record
from .dataset import GalaxyDataset
from .exported_weights import load_exported
from .recipe import Recipe, build
from .validation import Forward, compile_forward

SOFTENING_FACTOR = 1.5
"""Divides the logits in addition to a teacher's own temperature (Hinton et al. 2015, arXiv:1503.02531): the
probabilities of the classes other than its first choice carry the information."""

STATISTICS_IMAGES = 300
"""Images over which the normalisation statistics of an exported network are measured."""


def orientations(images: np.ndarray) -> list[np.ndarray]:
    """Return images (N, S, S, 3) in eight orientations: rotated and mirrored."""
    return [np.rot90(view, quarter, axes=(1, 2)) for view in (images, images[:, :, ::-1]) for quarter in range(4)]


def _predict(forward: Forward, images: np.ndarray, temperature: float) -> np.ndarray:
    """Average class probabilities (N, C) over eight orientations of the images.

    The images are (N, S, S, 3) uint8.
    """
    return np.asarray(np.mean([softmax(forward(view), temperature) for view in orientations(images)], axis=0))


@dataclass(frozen=True)
class Teacher:
    """A trained network that gives soft targets, see `load_teacher`.

    Attributes:
        folder: the run folder or bundle.
        identity: hash of its weights.
        side: side of its input in pixels.
        classes: in the order of its outputs.
        temperature: divides its logits.
        split: hash of the split that it was trained on, or None.
        forward: computes logits (N, C) of images (N, side, side, 3) uint8.
    """

    folder: Path
    identity: str
    side: int
    classes: tuple[str, ...]
    temperature: float
    split: str | None
    forward: Forward

    def predict(self, images: np.ndarray, softening: float = 1.0) -> np.ndarray:
        """Return class probabilities (N, C), averaged over eight orientations.

        The images are (N, S, S, 3) uint8, of the size of the network's input.
        """
        return _predict(self.forward, images, self.temperature * softening)

    def soft_targets(self, dataset: GalaxyDataset) -> np.ndarray:
        """Return softened probabilities of a dataset's images, (N, C).

        They are cached, since a large network is slow.
        """
        key = (dataset.crop_ids, dataset.margin, self.side, self.temperature, SOFTENING_FACTOR, self.identity)
        return cached_array(
            "opinion",
            cache_key(*key),
            lambda: self.predict(dataset.images(self.side), SOFTENING_FACTOR).astype(np.float32),
        )


def load_teacher(folder: Path) -> Teacher:
    """Load the network of a finished run, or of an exported bundle.

    Of a bundle, its float32 variant is used if it has one.

    Raises:
        RunError: the folder is neither, or the run is not finished.
        BundleError: the bundle is damaged, or not one of a classifier.
    """
    return _exported_teacher(folder) if (folder / MANIFEST).is_file() else _run_teacher(folder)


def _run_teacher(run: Path) -> Teacher:
    record = read_record(run)
    if not record.is_finished:
        raise RunError(f"{run} is not finished: train it to the end before it is a teacher")
    model = record.model
    return Teacher(
        run,
        network_hash(run),
        model["input"]["width"],
        tuple(model["classes"]),
        model["decode"]["temperature"],
        record.data["split"].get("hash"),
        compile_forward(load_model(run)),
    )


def _exported_teacher(folder: Path) -> Teacher:
    bundle = Bundle.load(folder, "classify")
    engine = load_engine(bundle, "fp32" if "fp32" in bundle.variants else bundle.default_variant)

    def forward(images: np.ndarray) -> np.ndarray:
        logits = [engine(np.ascontiguousarray(image[None]))["logits"].dequantize() for image in images]
        return np.stack(logits) if logits else np.zeros((0, len(bundle.classes)), np.float32)

    return Teacher(
        folder,
        bundle.hash,
        bundle.input_size[0],
        bundle.classes,
        bundle.manifest.classifier_decode.temperature,
        bundle.manifest.data.split.get("hash"),
        forward,
    )


def average_soft_targets(
    teachers: Sequence[Teacher], dataset: GalaxyDataset, split: dict[str, Any], report: Report | None = None
) -> np.ndarray:
    """Average the soft targets of teachers: (N, C) float32, rows adding up to 1.

    If only the coarse group of an image is known, classes of other groups get 0. (Soft targets of each augmented
    view, of which only some dozens per image can be computed, were measured to help less than these.)

    Args:
        teachers: see `load_teacher`.
        dataset: the training part of the split.
        split: its record; a teacher of another split may have been trained on images that the student is evaluated on.
        report: called with the progress, see `progress.Report`.

    Raises:
        RunError: a teacher has another split or other classes.
    """
    for teacher in teachers:
        if teacher.split != split["hash"]:
            raise RunError(
                f"{teacher.folder} was trained on another split, perhaps on images that the student is evaluated on"
            )
        if teacher.classes != dataset.classes:
            raise RunError(f"{teacher.folder} has other classes than the data set: a teacher must have the same")
    total = np.zeros((len(dataset), len(dataset.classes)))
    for number, teacher in enumerate(teachers):
        if report:
            report({"label": f"predictions of {teacher.folder.name}", "epoch": number + 1, "epochs": len(teachers)})
        total += teacher.soft_targets(dataset)
    return _within_groups(total, dataset)


def exported_soft_targets(bundle: Bundle, recipe: Recipe, dataset: GalaxyDataset) -> np.ndarray:
    """Compute soft targets with a bundle's network, which must be of the recipe.

    Returns (N, C) float32, rows adding up to 1.

    Raises:
        ExportedWeightsError: the network is not of this recipe. RunError: it has other classes.
    """
    if tuple(bundle.classes) != dataset.classes:
        raise RunError(f"{bundle.path} has other classes than the data set: start from one with the same")
    network, images = build(recipe, len(dataset.classes)), dataset.images(recipe.size)
    load_exported(
        network, bundle.path / bundle.variant("fp32").file, images[:: max(1, len(images) // STATISTICS_IMAGES)]
    )
    temperature = bundle.manifest.classifier_decode.temperature * SOFTENING_FACTOR
    return _within_groups(_predict(compile_forward(network), images, temperature), dataset)


def _within_groups(total: np.ndarray, dataset: GalaxyDataset) -> np.ndarray:
    """Exclude classes outside each image's coarse group, and normalise.

    This applies to images without a class and without votes. Returns (N, C) float32, rows adding up to 1.
    """
    coarse = (dataset.labels < 0) & ~dataset.voted
    total[coarse] = (total[coarse] + 1e-9) * dataset.targets()[coarse]
    return np.asarray((total / total.sum(axis=1, keepdims=True)).astype(np.float32))
