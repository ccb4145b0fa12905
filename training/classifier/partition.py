"""Split a dataset into training, validation and test parts, near duplicates together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cache import cache_key, cached_array
from ..data.splits import CRITERIA, near_duplicates, split, split_hash
from .dataset import GalaxyDataset

VALIDATION, TEST = 0.12, 0.12
"""Shares of the pictures to choose by, and to judge by at the end."""
COMPARED_SIDE = 69
"""Side in pixels at which pictures are compared to find duplicates."""


@dataclass(frozen=True)
class DatasetSplit:
    """A set parted for a study; of validation and test every picture has a class. `record` says how it was parted."""

    train: GalaxyDataset
    validation: GalaxyDataset
    test: GalaxyDataset
    record: dict[str, Any]


def duplicate_groups(pictures: GalaxyDataset) -> np.ndarray:
    """Group pictures of the same galaxy, (N,) int; what was found is kept, for it takes long."""
    key = cache_key(pictures.ids, pictures.margin, COMPARED_SIDE, *CRITERIA)
    return np.asarray(cached_array("duplicates", key, lambda: near_duplicates(pictures.images(COMPARED_SIDE))))


def split_dataset(pictures: GalaxyDataset, seed: int = 1) -> DatasetSplit:
    """Part pictures by content into training, validation and test, duplicates together.

    Pictures of which nothing is known have no say in it; they are learnt from unless another part has their galaxy.

    Raises:
        DataError: a class has too few pictures.
    """
    everything, known = pictures, pictures.grouped
    pictures = everything.take(known)
    groups, ids = duplicate_groups(pictures), list(pictures.ids)
    found = split(ids, groups, pictures.labels, (VALIDATION, TEST), seed, pictures.classes)

    def with_class(indices: np.ndarray) -> GalaxyDataset:
        return pictures.take([index for index in indices if pictures.labels[index] >= 0])

    record = {
        "seed": seed,
        "hash": split_hash(found, ids),
        "groups": len(np.unique(groups)),
        "pictures": len(pictures),
        "test": len(found.test),
    }
    learn = known[found.train]
    if len(unknown := np.setdiff1d(np.arange(len(everything)), known)):
        among = duplicate_groups(everything)
        apart = np.isin(among[unknown], among[known[np.concatenate([found.validation, found.test])]], invert=True)
        learn = np.concatenate([learn, unknown[apart]])
    return DatasetSplit(everything.take(learn), with_class(found.validation), with_class(found.test), record)
