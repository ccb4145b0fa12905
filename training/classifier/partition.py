"""Split a dataset into three parts, near duplicates in the same part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cache import cache_key, cached_array
from ..data.errors import DataError
from ..data.near_duplicates import COMPARISON_SIDE, CRITERIA, near_duplicates
from ..data.splits import class_label, holdout_indices, labels_hash, split_hash
from .dataset import GalaxyDataset

VALIDATION, TEST = 0.12, 0.12
"""Shares of the images for selection (validation) and for the final evaluation (test)."""


@dataclass(frozen=True)
class DatasetSplit:
    """A dataset in three parts.

    Attributes:
        train: images to train on, with or without a class.
        validation, test: images with a class.
        record: how the split was made: seed, hash, hash of the labels of validation and test, number of groups and
            images.
    """

    train: GalaxyDataset
    validation: GalaxyDataset
    test: GalaxyDataset
    record: dict[str, Any]


def check_trainable(train: GalaxyDataset, validation: GalaxyDataset) -> None:
    """Check that a classifier can be trained and validated on two parts.

    Raises:
        DataError: no image has a class to train or validate on, or all to train on are of one class.
    """
    if not len(train.labelled) or not len(validation):
        raise DataError(
            f"too few of {len(train)} training and {len(validation)} validation images have a class: add some that do"
        )
    if len(found := np.unique(train.labels[train.labelled])) < 2:
        only = class_label(found[0], train.classes)
        raise DataError(f"all training images are of {only}: a classifier needs at least two classes")


def duplicate_groups(dataset: GalaxyDataset) -> np.ndarray:
    """Group images of the same galaxy: (N,) int.

    The result is cached, since it takes minutes to compute.
    """
    key = cache_key(dataset.crop_ids, dataset.margin, *CRITERIA)
    return np.asarray(cached_array("duplicates", key, lambda: near_duplicates(dataset.images(COMPARISON_SIDE))))


def split_dataset(dataset: GalaxyDataset, seed: int = 1) -> DatasetSplit:
    """Split a dataset into training, validation and test parts by content.

    Images without class and coarse group do not influence the split; they are added to the training part unless their
    galaxy is in another part.

    Raises:
        DataError: a class has too few images.
    """
    known = dataset.grouped
    grouped = dataset.take(known)
    groups, ids = duplicate_groups(grouped), list(grouped.ids)
    found = holdout_indices(ids, groups, grouped.labels, (VALIDATION, TEST), seed, grouped.classes)

    def with_class(indices: np.ndarray) -> GalaxyDataset:
        return grouped.take([index for index in indices if grouped.labels[index] >= 0])

    record = {
        "seed": seed,
        "hash": split_hash(found, ids),
        "labels": labels_hash(found, ids, [grouped.classes[label] if label >= 0 else "" for label in grouped.labels]),
        "groups": len(np.unique(groups)),
        "pictures": len(grouped),
        "test": len(found.test),
    }
    train = known[found.train]
    if len(unknown := np.setdiff1d(np.arange(len(dataset)), known)):
        all_groups = duplicate_groups(dataset)
        held_out = all_groups[known[np.concatenate([found.validation, found.test])]]
        train = np.concatenate([train, unknown[np.isin(all_groups[unknown], held_out, invert=True)]])
    return DatasetSplit(dataset.take(train), with_class(found.validation), with_class(found.test), record)
