"""Recognise galaxies unlike all that a classifier was trained on.

Their class must not count as sure.

A network's confidence is valid for images like those it was calibrated on. It is not for a galaxy of too few pixels,
one that extends beyond the frame, a burnt-out image, or one with a low logit for every class. Half of the probability
of such galaxies is spread equally over all classes: the most probable class stays the same, but neither it nor its
coarse group can be sure. A galaxy that the classifier knows, of a coarse group that is too often wrong, keeps its
probabilities as far as they leave it unnamed: they are calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...models.labels import coarse_group
from ...models.manifest import ClassifierDecode
from ...models.naming import GROUP_SURE

BURNT_LEVEL = 250
"""Minimum level of a burnt-out pixel."""
DOUBTED = 0.5
"""Share of the probability that is spread over all classes."""
MARGIN = 0.001
"""Share that is spread beyond what is needed, against rounding."""


@dataclass(frozen=True, eq=False)
class Domain:
    """Limits of a classifier's domain, chosen on validation.

    The ``[decode.domain]`` of its bundle.

    Attributes:
        min_side: longer side of a galaxy's box in pixels of the frame.
        max_outside: share of the crop that lies outside of the frame, 0..1.
        max_burnt: share of the crop's pixels that are burnt out, 0..1.
        min_energy: log of the sum of the exponentiated logits at the classifier's temperature (Liu et al. 2020,
            arXiv:2010.03759); it is low if the logits of all classes are.
        groups: minimum probability, 0..1, of coarse groups that need more than the default to be sure.
    """

    min_side: float = 0.0
    max_outside: float = 1.0
    max_burnt: float = 1.0
    min_energy: float = -np.inf
    groups: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_manifest(cls, decode: ClassifierDecode) -> Domain:
        """Read the limits of a manifest's ``[decode]``; missing limits exclude nothing."""
        return cls(**(decode.domain or {}), groups=decode.groups or {})

    def excludes_images(self, images: np.ndarray, logits: np.ndarray, temperature: float) -> np.ndarray:
        """Return which crops are outside of the domain by their logits, (N,) bool.

        Crops are (N, size, size, 3) uint8, their logits (N, C).
        """
        burnt = (images.max(axis=3) >= BURNT_LEVEL).mean(axis=(1, 2))
        highest = logits.max(axis=1)
        energy = highest + temperature * np.log(np.exp((logits - highest[:, None]) / temperature).sum(axis=1))
        return np.asarray((burnt > self.max_burnt) | (energy < self.min_energy))

    def excludes_groups(self, probabilities: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return which rows (N, C) have a most probable group below its minimum.

        The minimums are in `groups`; the result is (N,) bool.
        """
        groups = np.array([coarse_group(name) for name in classes])
        names = np.unique(groups)
        sums = np.stack([probabilities[:, groups == name].sum(axis=1) for name in names], axis=1)
        needed = np.array([self.groups.get(str(name), 0.0) for name in names])
        return np.asarray(sums.max(axis=1) < needed[sums.argmax(axis=1)])

    def excludes_boxes(self, boxes: np.ndarray, shape: tuple[int, ...], margin: float) -> np.ndarray:
        """Return which boxes (N, 4) are too small or reach too far beyond the frame.

        The frame has `shape`; the result is (N,) bool.

        Args:
            margin: total share of the longer side that the crop adds.
        """
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        middle, reach = (boxes[:, :2] + boxes[:, 2:]) / 2, (sides * (1 + margin) / 2)[:, None]
        inside = np.minimum(middle + reach, [shape[1], shape[0]]) - np.maximum(middle - reach, 0)
        shown = np.clip(inside, 0, None).prod(axis=1) / np.maximum((2 * reach[:, 0]) ** 2, 1e-9)
        return np.asarray((sides < self.min_side) | (1 - shown > self.max_outside))


def doubt(probabilities: np.ndarray, doubted: np.ndarray) -> np.ndarray:
    """Spread `DOUBTED` of the probability equally over all classes in some rows.

    Probabilities are (N, C); the rows are `doubted` (N,) bool.
    """
    return _spread(probabilities, np.where(doubted, DOUBTED, 0.0))


def withhold_names(
    probabilities: np.ndarray, doubted: np.ndarray, classes: Sequence[str], abstain: float | None
) -> np.ndarray:
    """Lower the probabilities of doubted rows until they name no class or group.

    Probabilities are (N, C); the rows are `doubted` (N,) bool. As little as necessary is spread equally over all
    classes, at most `DOUBTED`.

    Args:
        classes: names of the C classes.
        abstain: probability below which a class is not named; None if there is no such threshold.
    """
    groups = np.array([coarse_group(name) for name in classes])
    equal = 1 / len(classes)
    highest = probabilities.max(axis=1)
    share = (highest - (1.0 if abstain is None else abstain)) / np.maximum(highest - equal, 1e-9)
    for name in np.unique(groups):
        total = probabilities[:, groups == name].sum(axis=1)
        at_equal = equal * (groups == name).sum()
        needed = (total - GROUP_SURE) / np.maximum(total - at_equal, 1e-9)
        share = np.where(total >= GROUP_SURE, np.maximum(share, needed), share)
    return _spread(probabilities, np.where(doubted, np.clip(share + MARGIN, 0, DOUBTED), 0.0))


def _spread(probabilities: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Spread a share (N,) of the probability (N, C) equally over all classes."""
    part = share[:, None].astype(np.float32)
    return np.asarray((1 - part) * probabilities + part / np.float32(probabilities.shape[1]))


def highest_doubted(classes: int) -> float:
    """Return the highest probability that a doubted class can have.

    An abstention threshold must lie above it.
    """
    return 1 - DOUBTED + DOUBTED / classes
