"""Split images into parts such that no galaxy is in two of them.

The parts are training, validation and test, or the folds of a cross-validation.

Images of the same galaxy form a group (see `near_duplicates`), and a group is never divided. The hash of its content
decides where a group goes, so that a split stays the same when images are added or reordered.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...models.labels import CLASSES
from ...models.manifest import TrainingData
from .errors import DataError

logger = logging.getLogger(__name__)

_CRITERIA = ("seed", "hash", "folds", "fold", "validation_share", "test_share", "moved")
"""What a split depends on, in its record."""

HALVES_SEED = 19
"""Of the hash that halves a share: thresholds are chosen on one half and measured on the other."""
MOVED_DIGITS = 16
"""Number of digits by which a split's record names an image that shares the part of another one."""


@dataclass(frozen=True)
class SplitIndices:
    """Indices of the images in each part.

    Attributes:
        train, validation, test: (n,) int, ascending, no image in two.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def _group_ids(ids: Sequence[str], groups: np.ndarray) -> dict[int, str]:
    """Return the smallest content hash of each group, which identifies it."""
    group_ids: dict[int, str] = {}
    for digest, group in zip(ids, groups.tolist(), strict=True):
        group_ids[group] = min(digest, group_ids.get(group, digest))
    return group_ids


def class_label(label: int, classes: Sequence[str] = CLASSES) -> str:
    """Return the name of a class for a message."""
    return f"class '{classes[label]}'" if label < len(classes) else f"class {label}"


def holdout_indices(
    ids: Sequence[str],
    groups: np.ndarray,
    labels: np.ndarray,
    shares: tuple[float, float],
    seed: int,
    classes: Sequence[str] = CLASSES,
) -> SplitIndices:
    """Split images into training, validation and test parts by content.

    The seeded hash of a group's smallest id decides its part.

    An image that is added later moves no other image, unless it joins a group and has the smallest id there.

    Args:
        ids: (N,) content hashes (`Sample.digest`).
        groups: (N,) group ids (`near_duplicates`).
        labels: (N,) classes, -1 for none.
        shares: shares (0..1) of validation and test; a share of 0 leaves the part empty.
        seed: of the hash.
        classes: names of the classes, for messages.

    Raises:
        ValueError: the shares leave no training part.
        DataError: a class has no image in one of the parts.
    """
    validation, test = shares
    if min(shares) < 0 or validation + test >= 1:
        raise ValueError(f"shares of {validation} and {test} leave no training part; their sum must be below 1")
    groups, labels = np.asarray(groups), np.asarray(labels)
    part_of = {
        group: 2 if in_share(digest, test, seed) else int(in_share(digest, test + validation, seed))
        for group, digest in _group_ids(ids, groups).items()
    }
    parts = np.array([part_of[group] for group in groups.tolist()], int)
    for index, (name, share) in enumerate((("training", 1.0), ("validation", validation), ("test", test))):
        for label in np.unique(labels[labels >= 0]).tolist():
            if share and not np.any(labels[parts == index] == label):
                count = len(np.unique(groups[labels == label]))
                galaxies = "1 galaxy" if count == 1 else f"{count} different galaxies"
                raise DataError(
                    f"{class_label(label, classes)} has {np.sum(labels == label)} images of {galaxies}, and none of "
                    f"them is in the {name} part: add images of other galaxies of this class, omit the class, or use "
                    "another seed"
                )
    return SplitIndices(*(np.flatnonzero(parts == index) for index in range(3)))


def split_hash(split: SplitIndices, ids: Sequence[str]) -> str:
    """Return the SHA-256 (hex) of which image is in which part.

    It does not depend on the order of the images.
    """
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    lines = sorted(f"{name}:{ids[index]}" for name, part in parts.items() for index in part.tolist())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def labels_hash(split: SplitIndices, ids: Sequence[str], names: Sequence[str]) -> str:
    """Return the SHA-256 (hex) of the classes of the validation and test images.

    It does not depend on the order of the images.

    Args:
        ids: (N,) content hashes.
        names: (N,) names of the classes, "" for none.
    """
    parts = {"validation": split.validation, "test": split.test}
    return data_hash(f"{part}:{ids[index]}:{names[index]}" for part, found in parts.items() for index in found.tolist())


# Long because half of it describes its arguments and errors.
def k_fold_indices(
    ids: Sequence[str],
    groups: np.ndarray,
    labels: np.ndarray,
    k: int,
    seed: int,
    repeat: int = 0,
    classes: Sequence[str] = CLASSES,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Assign groups of images to k folds, and balance the classes.

    Groups are never divided; each class is spread as evenly as they allow.

    Large groups are assigned first, then in the order of their seeded hash, each to the fold with the fewest images of
    its class; the order of the images does not matter. An image without a class (-1) is assigned too: it can be trained
    on, but not scored.

    Args:
        ids, groups, labels, seed, classes: as for `holdout_indices`.
        k: number of folds, at least 2.
        repeat: number of the repetition (0, 1, ...); each gives other folds.

    Returns:
        k pairs of (train, test) int indices, ascending; every image is in one test part.

    Raises:
        ValueError: k is below 2.
        DataError: a class has too few groups to have one in every fold.
    """
    if k < 2:
        raise ValueError(f"k is {k}; at least 2 folds are needed")
    groups, labels = np.asarray(groups), np.asarray(labels)
    group_ids = _group_ids(ids, groups)
    members: dict[int, list[int]] = {group: [] for group in group_ids}
    for index, group in enumerate(groups.tolist()):
        members[group].append(int(labels[index]))
    main_label = {group: _most_frequent(labels_of_group) for group, labels_of_group in members.items()}
    for label in np.unique(labels[labels >= 0]).tolist():
        if sum(main == label for main in main_label.values()) < k:
            raise DataError(
                f"{class_label(label, classes)} has {np.sum(labels == label)} images, too few different ones "
                f"for {k} folds: add images of it, or use fewer folds"
            )
    order = {
        group: hashlib.sha256(f"{seed}:{repeat}:{digest}".encode()).hexdigest() for group, digest in group_ids.items()
    }
    counts = np.zeros((k, int(labels.max(initial=0)) + 2), int)  # the last column is for images without a class
    fold_of: dict[int, int] = {}
    for group in sorted(members, key=lambda group: (-len(members[group]), order[group])):
        fold = min(range(k), key=lambda fold: (counts[fold, main_label[group]], counts[fold].sum(), fold))
        fold_of[group] = fold
        np.add.at(counts[fold], members[group], 1)
    folds = np.array([fold_of[group] for group in groups.tolist()], int)
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(k)]


def _most_frequent(labels: Sequence[int]) -> int:
    """Return the most frequent label; of several, the largest."""
    return max(set(labels), key=lambda label: (labels.count(label), label))


def in_share(digest: str, share: float, seed: int) -> bool:
    """Return whether an image is in a share (0..1), by its seeded content hash."""
    return int(hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()[:8], 16) / 2**32 < share


def in_first_half(digest: str) -> bool:
    """Return whether an image is in the first of two fixed halves, by its content.

    The halves are independent of the result of `in_share` for any share and seed.
    """
    return in_share(digest[::-1], 0.5, HALVES_SEED)


def is_held_out(split: Mapping[str, Any], digest: str) -> bool:
    """Return whether an image was held out, according to a split's record.

    Such a record is part of a run's record and of a bundle's manifest. The image's hash decides, except for those
    under ``moved``: these show the galaxy of an image of the other share, and are there too.
    """
    seed, moved = split["seed"], digest[:MOVED_DIGITS] in split.get("moved", ())
    if "folds" in split:
        number = int(hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()[:8], 16)
        return bool(number % split["folds"] == split["fold"]) != moved
    return in_share(digest, split["test_share"] if "test_share" in split else split["validation_share"], seed) != moved


def warn_of_other_split(folder: Path, trained: TrainingData, sets: Iterable[str], split: Mapping[str, Any]) -> None:
    """Warn if a network was trained on another split than one that learns from it.

    It may know the images that the other one is validated on.

    Args:
        folder: of the network's bundle; trained: what it was trained on.
        sets: names of the other network's data sets; split: the record of their split.
    """
    shared = sorted(set(trained.sets) & set(sets))
    if shared and any(trained.split.get(key) != split.get(key) for key in _CRITERIA):
        logger.warning(
            "%s was trained on another split of %s, perhaps on images that this training is validated on: its scores "
            "may be too good", folder, ", ".join(shared),
        )  # fmt: skip


def data_hash(digests: Iterable[str]) -> str:
    """Return the SHA-256 (hex) of a set of image hashes, independent of their order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
