"""Training data of the detector: the split of samples, and batches of scenes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..cache import cache_key, cached_array
from ..data.catalogues import LABELLED, RESERVED_FILES
from ..data.crops import CREDITS as GALAXY_CREDITS
from ..data.crops import network_input
from ..data.near_duplicates import COMPARISON_SIDE, CRITERIA, near_duplicates
from ..data.sample import Sample
from ..data.splits import MOVED_DIGITS, data_hash, is_held_out
from ..scenes.close_ups import CLOSE_UPS
from ..scenes.generator import SceneSource
from .anchor_matching import assign_targets
from .teacher import DetectorTeacher

logger = logging.getLogger(__name__)

SETS = ("gz_frames", "deepsky_frames", "sdss_starfields", CLOSE_UPS, LABELLED)
"""Data sets to train on; the last is labelled by the user. `lco_messier` is excluded by its licence, and serves as an
independent test."""

CREDITS = {
    CLOSE_UPS: GALAXY_CREDITS[CLOSE_UPS],
    "gz_frames": "Sloan Digital Sky Survey (www.sdss.org); Galaxy Zoo 2 (Willett et al. 2013, Hart et al. 2016)",
    "sdss_starfields": "Sloan Digital Sky Survey (www.sdss.org)",
}
VALIDATION_SHARE = 0.1
MIN_EXTENT = 40
"""Minimum right or lower edge in pixels of a frame's galaxy; frames below it are thumbnails."""
MARGIN = 0.3
"""Margin around a boxed galaxy with which it is compared with others."""


def is_trainable(sample: Sample) -> bool:
    """Return whether a sample may be used for training or evaluation."""
    without_box = sample.kind == "galaxy" and not len(sample.boxes) and sample.set != CLOSE_UPS
    thumbnail = bool(len(sample.boxes)) and not sample.complete and sample.boxes[0][2:].max() < MIN_EXTENT
    return sample.set in SETS and sample.file not in RESERVED_FILES and not without_box and not thumbnail


def split(
    samples: list[Sample], seed: int, folds: int = 0, fold: int = 0
) -> tuple[list[Sample], list[Sample], dict[str, Any]]:
    """Split samples by content into training and validation, and describe them.

    Frames whose first galaxy is the same, such as one target's frames of several nights, are in one share.

    Args:
        samples: of all data sets; those unsuitable for training are skipped.
        seed: of the split.
        folds: number of folds; 0: hold out `VALIDATION_SHARE`.
        fold: the fold to hold out, from 0.

    Returns:
        training samples, validation samples, and the record of the data for the run folder.
    """
    criteria: dict[str, Any] = {"seed": seed}
    criteria |= {"folds": folds, "fold": fold} if folds else {"validation_share": VALIDATION_SHARE}
    kept = [sample for sample in samples if is_trainable(sample)]
    digests = [sample.digest() for sample in kept]
    if moved := _moved(kept, digests, criteria):
        criteria["moved"] = moved
    shares: tuple[list[Sample], list[Sample]] = ([], [])
    for sample, digest in zip(kept, digests, strict=True):
        shares[is_held_out(criteria, digest)].append(sample)
    train, held_out = _drop_close_ups(*shares)
    record = {
        "hash": data_hash(digests),
        "labels": data_hash(sample.labels_digest() for sample in kept),
        "sets": dict(Counter(sample.set for sample in train + held_out)),
        "split": criteria | {"train": len(train), "validation": len(held_out)},
        "sources": _credits(train + held_out),
    }
    return train, held_out, record


def _moved(samples: list[Sample], digests: list[str], criteria: dict[str, Any]) -> list[str]:
    """Find the frames that go where another frame of their galaxy goes.

    Of frames of one galaxy, that with the smallest hash decides, see `splits.is_held_out`. With too few galaxies for
    both shares, or for one of the folds, the frames stay where their own hashes put them, with a warning.

    Returns the first `MOVED_DIGITS` digits of their hashes.
    """
    framed = sorted((index for index, sample in enumerate(samples) if len(sample.boxes)), key=digests.__getitem__)
    groups = group_by_galaxy([samples[index] for index in framed]).tolist() if framed else []
    decides: dict[int, str] = {}
    for index, group in zip(framed, groups, strict=True):
        decides.setdefault(group, digests[index])  # they are sorted: the first is the smallest
    deciding = {digests[index]: decides[group] for index, group in zip(framed, groups, strict=True)}
    folds = [criteria | {"fold": fold} for fold in range(criteria["folds"])] if "folds" in criteria else [criteria]
    if not all(_has_both_shares(fold, deciding.values()) for fold in folds):
        if len(decides) < len(deciding) and all(_has_both_shares(fold, deciding) for fold in folds):
            logger.warning(
                "frames with boxes: %d, different galaxies: %d; too few to hold some of them back: validation frames "
                "show galaxies that are trained on, so that their scores say little of other galaxies",
                len(framed), len(decides),
            )  # fmt: skip
        return []
    return sorted(
        digest[:MOVED_DIGITS]
        for digest, decider in deciding.items()
        if is_held_out(criteria, digest) != is_held_out(criteria, decider)
    )


def _has_both_shares(criteria: dict[str, Any], digests: Iterable[str]) -> bool:
    return len({is_held_out(criteria, digest) for digest in digests}) == 2


def _drop_close_ups(train: list[Sample], held_out: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Remove close-ups that are held out or show a galaxy of the held-out share.

    Held-out close-ups have no box to evaluate on. Close-ups of galaxies that are evaluated on must not be trained on.
    """
    held_out = [sample for sample in held_out if sample.set != CLOSE_UPS]
    close_ups = [sample for sample in train if sample.set == CLOSE_UPS]
    evaluated = [sample for sample in held_out if len(sample.boxes) and not sample.complete]
    if close_ups and evaluated:
        groups = group_by_galaxy(close_ups + evaluated)
        is_duplicate = np.isin(groups[: len(close_ups)], groups[len(close_ups) :])
        duplicates = {sample.file for sample, removed in zip(close_ups, is_duplicate, strict=True) if removed}
        train = [sample for sample in train if sample.set != CLOSE_UPS or sample.file not in duplicates]
    return train, held_out


def group_by_galaxy(samples: list[Sample]) -> np.ndarray:
    """Group frames whose first galaxy is the same: (N,) int.

    This is slow, so the result is cached.
    """
    contents = [(sample.digest(), sample.boxes[:1].tolist()) for sample in samples]

    def find() -> np.ndarray:
        return near_duplicates(
            [network_input(sample.load(), sample.boxes[:1], MARGIN, COMPARISON_SIDE) for sample in samples]
        )

    key = cache_key(contents, MARGIN, *CRITERIA)
    return np.asarray(cached_array("twins", key, find))


def _credits(samples: list[Sample]) -> list[str]:
    lines = {CREDITS[sample.set] for sample in samples if sample.set in CREDITS}
    return sorted(lines | {sample.row["credit"].strip() for sample in samples if sample.row.get("credit", "").strip()})


class SceneBatches:
    """Training batches by number, generated ahead in background threads.

    Batch n is the same whether training starts there or reaches it, so a resumed run sees the same scenes.

    Args:
        generator: draws the scenes.
        anchors: (N, 4) from `models.decode.anchor_grid`.
        positions: positions in a batch to generate: all, or a worker's part.
        seed: of the draws.

    Attributes:
        teacher: adds soft targets to the batches of `run`; None: none.
    """

    def __init__(self, generator: SceneSource, anchors: np.ndarray, positions: range, seed: int) -> None:
        self.generator, self.anchors, self.positions, self.seed = generator, anchors, positions, seed
        self.teacher: DetectorTeacher | None = None

    def make(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Generate batch `step`.

        Returns:
            images (B, size, size, 3) uint8, and targets (B, N) int8 and deltas (B, N, 4) of `assign_targets`.
        """
        scenes = [
            self.generator.draw(np.random.default_rng([self.seed, step, position])) for position in self.positions
        ]
        matched = [assign_targets(self.anchors, scene.boxes, scene.ignore) for scene in scenes]
        targets, deltas = zip(*matched, strict=True)
        return np.stack([scene.image for scene in scenes]), np.stack(targets), np.stack(deltas)

    def _make_taught(self, step: int) -> tuple[np.ndarray, ...]:
        batch = self.make(step)
        return (*batch, *self.teacher.soft_targets(batch[0])) if self.teacher else batch

    def run(self, begin: int, end: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the batches from `begin` up to but not including `end`.

        With a teacher, its scores (B, N) and deltas (B, N, 4) follow the arrays of `make`.
        """
        with ThreadPoolExecutor(2) as pool:
            ahead = {step: pool.submit(self._make_taught, step) for step in range(begin, min(begin + 4, end))}
            try:
                for step in range(begin, end):
                    batch = ahead.pop(step).result()
                    if step + 4 < end:
                        ahead[step + 4] = pool.submit(self._make_taught, step + 4)
                    yield batch
            finally:
                for waiting in ahead.values():
                    waiting.cancel()
