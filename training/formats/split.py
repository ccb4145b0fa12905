"""Split a labelled set by content: training, validation and test, or folds.

Images of the same object stay together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.catalogues import SPLIT_FILE
from ..data.errors import DataError
from ..data.near_duplicates import near_duplicates
from ..data.splits import holdout_indices, k_fold_indices
from .annotation import AnnotatedDataset, ImageAnnotation, Progress, no_progress
from .check import DecodedImages, LabelIssue, decode_images
from .registry import FORMATS
from .writing import format_json, staged_output, write_text

PART_NAMES = ("train", "validation", "test")
MAX_SEEDS = 200
"""Number of seeds that are tried to suggest one with which every class is in every part."""


def _split_ids(decoded: DecodedImages) -> list[str]:
    """Return ids by content that differ from those of a training.

    A training selects its held-out share by the same hash: with the same ids, it would hold out all of a part or
    nothing.
    """
    return [f"part:{digest}" for digest in decoded.digests]


def decode_dataset(labels: AnnotatedDataset, progress: Progress = no_progress) -> DecodedImages:
    """Decode every image of a set that is to be split.

    Raises:
        DataError: an image is missing or broken.
    """

    def raise_issue(issue: LabelIssue) -> None:
        if issue.kind in ("missing picture", "broken picture"):
            raise DataError(f"{issue.file}: {issue.detail}; galaxy-edge data check lists all such images")

    return decode_images(labels, raise_issue, progress)


def holdout(decoded: DecodedImages, shares: tuple[float, float], seed: int) -> dict[str, list[ImageAnnotation]]:
    """Split images into training, validation and test.

    Args:
        shares: of validation and test, 0..1; a part of share 0 is left out.

    Returns:
        name of the part -> its images.

    Raises:
        DataError: a part would be empty, or lack a class that is on enough images to be in all parts.
    """
    groups = near_duplicates(decoded.small)
    used_parts = [index for index, share in enumerate((1.0, *shares)) if share]
    images_of_class = Counter(
        name
        for name, _ in {
            (name, group)
            for image, group in zip(decoded.images, groups.tolist(), strict=True)
            for name in _class_set(image)
        }
    )

    def draw(seed: int) -> tuple[np.ndarray, ...]:
        indices = holdout_indices(_split_ids(decoded), groups, np.full(len(groups), -1), shares, seed)
        return indices.train, indices.validation, indices.test

    def missing(parts: tuple[np.ndarray, ...]) -> Iterator[tuple[str, int]]:
        """Yield each class that a part lacks with the index of the part.

        "" stands for an empty part.
        """
        classes = [{name for index in part.tolist() for name in _class_set(decoded.images[index])} for part in parts]
        for name, count in images_of_class.items():
            for part in used_parts:
                if count >= len(used_parts) and name not in classes[part]:
                    yield name, part
        yield from (("", part) for part in used_parts if not len(parts[part]))

    parts = draw(seed)
    for name, part in missing(parts):
        subject = f"of the {images_of_class[name]} different images with '{name}' none" if name else "no image"
        other_seed = next((other for other in range(1, MAX_SEEDS) if not any(missing(draw(other)))), None)
        advice = (
            f"use --seed {other_seed}, with which every class is in every part"
            if other_seed
            else "label more, or enlarge the share"
        )
        raise DataError(f"{subject} is in the {PART_NAMES[part]} part: {advice}")
    return {PART_NAMES[part]: _take(decoded, parts[part]) for part in used_parts}


def k_fold(decoded: DecodedImages, k: int, seed: int) -> dict[str, list[ImageAnnotation]]:
    """Assign images to k folds, balanced by class, duplicates together.

    Each class, and the images without a box, are spread as evenly as groups of duplicates allow.

    An image with several classes counts as one of the rarest.

    Returns:
        ``fold-1/train``, ``fold-1/test`` ... -> images; every image is in one test part.

    Raises:
        DataError: a class is on too few images.
    """
    counts = Counter(name for image in decoded.images for name in _class_set(image))
    by_rarity = sorted(counts, key=lambda name: (counts[name], name))
    rarest = np.array([min(map(by_rarity.index, _class_set(image)), default=-1) for image in decoded.images], int)
    groups = near_duplicates(decoded.small)
    try:
        folds = k_fold_indices(_split_ids(decoded), groups, rarest, k, seed)
    except DataError:  # its message would name the classes of a classifier
        pairs = set(zip(rarest.tolist(), groups.tolist(), strict=True))
        different = Counter(label for label, _ in pairs if label >= 0)
        label, count = min(different.items(), key=lambda item: item[1])
        raise DataError(
            f"{k} folds need {k} different images of each class, and there are only {count} of "
            f"'{by_rarity[label]}': label more of it, or use fewer folds"
        ) from None
    return {
        f"fold-{number}/{name}": _take(decoded, part)
        for number, pair in enumerate(folds, 1)
        for name, part in zip(("train", "test"), pair, strict=True)
    }


def _take(decoded: DecodedImages, indices: np.ndarray) -> list[ImageAnnotation]:
    return [decoded.images[index] for index in indices.tolist()]


def _class_set(image: ImageAnnotation) -> set[str]:
    return set(image.classes)


def write_split(
    labels: AnnotatedDataset,
    parts: Mapping[str, list[ImageAnnotation]],
    record: Mapping[str, Any],
    out: Path,
    name: str,
    images: str,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Write each part of a split as a data set of its own.

    ``split.json`` lists the images of each part.

    Args:
        parts: path of each part in the folder -> its images.
        record: how they were split.
        out: folder to create.
        name, images: as for `registry.write_labels`.

    Returns:
        The content of ``split.json`` without the lists of files.

    Raises:
        DataError, WriteError: see `registry.write_labels`.
    """
    counts = {
        part: {"pictures": len(members), "boxes": sum(len(image.boxes) for image in members)}
        for part, members in parts.items()
    }
    summary = {**record, "format": name, "parts": counts}
    with staged_output(out) as folder:
        for part, members in parts.items():
            FORMATS[name].writer(replace(labels, images=tuple(members)), folder / part, images, progress)
        files = {part: [image.file for image in members] for part, members in parts.items()}
        for path in {(folder / part).parent for part in parts} - {folder}:
            write_text(path / SPLIT_FILE, format_json({"see": f"../{SPLIT_FILE}"}))
        write_text(folder / SPLIT_FILE, format_json({**summary, **files}))
    return summary
