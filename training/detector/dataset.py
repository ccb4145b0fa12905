"""What the detector is trained on: which pictures, on which side of the split, and the batches made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..cache import cache_key, cached_array
from ..data.crops import CREDITS as GALAXY_CREDITS
from ..data.crops import network_input
from ..data.sample import LABELLED, RESERVED, Sample, data_hash, is_held_out
from ..data.splits import CRITERIA, near_duplicates
from ..scenes.close_ups import CLOSE_UPS
from ..scenes.generator import SceneGenerator
from .anchor_matching import assign_targets

SETS = ("gz_frames", "deepsky_frames", "sdss_starfields", CLOSE_UPS, LABELLED)
"""What it is trained on; the last is what a user labelled. `lco_messier` is left out: its licence forbids it, and it
makes a clean test."""

CREDITS = {
    CLOSE_UPS: GALAXY_CREDITS[CLOSE_UPS],
    "gz_frames": "Sloan Digital Sky Survey (www.sdss.org); Galaxy Zoo 2 (Willett et al. 2013, Hart et al. 2016)",
    "sdss_starfields": "Sloan Digital Sky Survey (www.sdss.org)",
}
VALIDATION_SHARE = 0.1
MARGIN, COMPARED_SIDE = 0.3, 69
"""Of a boxed galaxy, how much is seen around it, and at what side in pixels, to be compared with close-ups."""


def split(
    samples: list[Sample], seed: int, folds: int = 0, fold: int = 0
) -> tuple[list[Sample], list[Sample], dict[str, Any]]:
    """Sort samples into a training and a validation share, by content, and describe them.

    Args:
        folds, fold: of so many folds, the one to hold out, from 0; 0 folds: hold out `VALIDATION_SHARE`.

    Returns:
        training samples, validation samples, and the record of the data for the run folder.
    """
    digests: list[str] = []
    drawn: dict[str, Any] = {"seed": seed}
    drawn |= {"folds": folds, "fold": fold} if folds else {"validation_share": VALIDATION_SHARE}
    shares: tuple[list[Sample], list[Sample]] = ([], [])
    for sample in samples:
        galaxy_without_box = sample.kind == "galaxy" and not len(sample.boxes) and sample.set != CLOSE_UPS
        small = len(sample.boxes) and not sample.complete and sample.boxes[0][2:].max() < 40  # thumbnails
        if sample.set not in SETS or sample.file in RESERVED or galaxy_without_box or small:
            continue
        digests.append(sample.digest())
        shares[is_held_out(drawn, digests[-1])].append(sample)
    train, held = _drop_close_ups(*shares)
    record = {
        "hash": data_hash(digests),
        "sets": dict(Counter(sample.set for sample in train + held)),
        "split": drawn | {"train": len(train), "validation": len(held)},
        "sources": _credits(train + held),
    }
    return train, held, record


def _drop_close_ups(train: list[Sample], held: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Leave out close-ups that nothing can be judged by, and those of a galaxy that the other share is judged by."""
    held = [sample for sample in held if sample.set != CLOSE_UPS]
    close_ups = [sample for sample in train if sample.set == CLOSE_UPS]
    judged = [sample for sample in held if len(sample.boxes) and not sample.complete]
    if close_ups and judged:
        groups = group_by_galaxy(close_ups + judged)
        seen = np.isin(groups[: len(close_ups)], groups[len(close_ups) :])
        twins = {sample.file for sample, too in zip(close_ups, seen, strict=True) if too}
        train = [sample for sample in train if sample.set != CLOSE_UPS or sample.file not in twins]
    return train, held


def group_by_galaxy(samples: list[Sample]) -> np.ndarray:
    """Group frames whose first galaxy is the same, (N,) int; what was found is kept, for it takes long."""
    told = [(sample.digest(), sample.boxes[:1].tolist()) for sample in samples]

    def find() -> np.ndarray:
        return near_duplicates([network_input(one.load(), one.boxes[:1], MARGIN, COMPARED_SIDE) for one in samples])

    key = cache_key(told, MARGIN, COMPARED_SIDE, *CRITERIA)
    return np.asarray(cached_array("twins", key, find))


def _credits(samples: list[Sample]) -> list[str]:
    lines = {CREDITS[sample.set] for sample in samples if sample.set in CREDITS}
    return sorted(lines | {sample.row["credit"] for sample in samples if sample.row.get("credit")})


class SceneBatches:
    """Training batches by number, made ahead in background threads; batch n is the same however it is reached.

    Of every batch only the scenes at `places` are made: all of them, or a worker's part.
    """

    def __init__(self, maker: SceneGenerator, anchors: np.ndarray, places: range, seed: int) -> None:
        self.maker, self.anchors, self.places, self.seed = maker, anchors, places, seed

    def make(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Make batch `step`: images (B, size, size, 3) uint8, targets (B, N) int8 and deltas (B, N, 4) of `match`."""
        scenes = [self.maker.draw(np.random.default_rng([self.seed, step, place])) for place in self.places]
        matched = [assign_targets(self.anchors, scene.boxes, scene.ignore) for scene in scenes]
        targets, deltas = zip(*matched, strict=True)
        return np.stack([scene.image for scene in scenes]), np.stack(targets), np.stack(deltas)

    def run(self, begin: int, end: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the batches from `begin` to before `end`."""
        with ThreadPoolExecutor(2) as pool:
            ahead = {step: pool.submit(self.make, step) for step in range(begin, min(begin + 4, end))}
            try:
                for step in range(begin, end):
                    batch = ahead.pop(step).result()
                    if step + 4 < end:
                        ahead[step + 4] = pool.submit(self.make, step + 4)
                    yield batch
            finally:
                for waiting in ahead.values():
                    waiting.cancel()
