"""Find all errors of a labelled set at once, before it is used for training."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...models.boxes import iou_matrix
from ...models.preprocess import resize
from ..data.errors import DataError
from ..data.near_duplicates import COMPARISON_SIDE, near_duplicates
from ..data.vocabulary import is_galaxy
from .annotation import AnnotatedDataset, ImageAnnotation, LabelError, Progress, no_progress
from .images import BrokenImageError, decode_with_size
from .registry import resolve_format

logger = logging.getLogger(__name__)

KINDS = (
    "unreadable label",
    "file cut short",
    "file name twice",
    "missing picture",
    "broken picture",
    "size differs",
    "box outside",
    "box without area",
    "box twice",
    "unknown class",
    "same picture twice",
    "near duplicate",
)
"""Kinds of issues, in the order of a report. They are part of the JSON output and must not change."""
DUPLICATE_IOU = 0.95
"""IoU above which two boxes are reported as one that was drawn twice."""
EDGE_TOLERANCE = 2e-6
"""Share of the image by which a box may exceed it: numbers with six decimals are not more exact."""


@dataclass(frozen=True)
class LabelIssue:
    """An issue of a labelled set: what is wrong, and in which file.

    `kind` is one of `KINDS`, `file` the image or label file, `detail` the explanation.
    """

    kind: str
    file: str
    detail: str


@dataclass(frozen=True)
class DecodedImages:
    """The images of a set that could be decoded.

    Attributes:
        images: N annotations.
        digests: N SHA-256 of the encoded images (hex).
        small: N thumbnails (COMPARISON_SIDE, COMPARISON_SIDE, 3) uint8 RGB.
        binning: pixels of an image's label along a side of one that it is trained on; images that are not in it have 1.
    """

    images: tuple[ImageAnnotation, ...]
    digests: tuple[str, ...]
    small: tuple[np.ndarray, ...]
    binning: Mapping[str, int]


def decode_images(
    labels: AnnotatedDataset, on_issue: Callable[[LabelIssue], None], progress: Progress = no_progress
) -> DecodedImages:
    """Decode every image of a set, and report those with an issue.

    `on_issue` is called for each image that is missing, broken, or of another size than its label says.
    """
    decoded: list[tuple[ImageAnnotation, str, np.ndarray]] = []
    binning: dict[str, int] = {}
    for done, image in enumerate(labels.images):
        progress(done, len(labels.images))
        try:
            content = image.read_bytes()
            pixels, size = decode_with_size(content, image.file)
        except BrokenImageError as error:
            on_issue(LabelIssue("broken picture", image.file, str(error)))
            continue
        except LabelError as error:
            on_issue(LabelIssue("missing picture", image.file, error.reason))
            continue
        except DataError as error:
            on_issue(LabelIssue("missing picture", image.file, str(error)))
            continue
        developed = pixels.shape[1], pixels.shape[0]
        if size != developed and (image.width, image.height) == size:
            binning[image.file] = 2
        elif (image.width, image.height) not in (size, developed):
            detail = f"the image has {size[0]} x {size[1]} pixels, its label says {image.width} x {image.height}"
            on_issue(LabelIssue("size differs", image.file, detail))
        decoded.append((image, hashlib.sha256(content).hexdigest(), resize(pixels, COMPARISON_SIDE, COMPARISON_SIDE)))
    images, digests, small = zip(*decoded, strict=True) if decoded else ((), (), ())
    return DecodedImages(tuple(images), tuple(digests), tuple(small), binning)


def check(
    path: Path, name: str | None = None, progress: Progress = no_progress
) -> tuple[AnnotatedDataset, list[LabelIssue]]:
    """Check a labelled set.

    Args:
        path, name: as for `registry.read_labels`.
        progress: called with the number of images processed and their total.

    Returns:
        The part of the set that can be read, and its issues, sorted by kind and file.

    Raises:
        DataError: there are no labels in a known format.
    """
    issues: list[LabelIssue] = []

    def add_issue(error: LabelError) -> None:
        issues.append(LabelIssue(error.kind, error.file, error.reason))

    label_format = resolve_format(path, name)
    try:
        labels = label_format.read(path, add_issue, progress)
    except LabelError as error:
        add_issue(error)
        return AnnotatedDataset(label_format.name, (), ()), issues
    decoded = decode_images(labels, issues.append, progress)
    for image in labels.images:
        issues.extend(_box_issues(image))
    issues.extend(_class_issues(labels))
    logger.info("comparing %d images", len(decoded.images))
    issues.extend(_duplicate_issues(decoded))
    if not (labels.images or issues):
        issues.append(LabelIssue("unreadable label", path.name, "there is no labelled image in it"))
    return labels, sorted(issues, key=lambda issue: (KINDS.index(issue.kind), issue.file))


def find_training_issues(labels: AnnotatedDataset) -> tuple[list[LabelIssue], Mapping[str, int]]:
    """Find the issues of a set that prevent training on it.

    They are images that are missing, broken or of another size, invalid boxes, and unknown classes.

    Returns:
        The issues, and `DecodedImages.binning`.
    """
    issues: list[LabelIssue] = []
    binning = decode_images(labels, issues.append).binning
    for image in labels.images:
        issues.extend(issue for issue in _box_issues(image) if issue.kind != "box twice")
    issues.extend(_class_issues(labels))
    return issues, binning


def _box_issues(image: ImageAnnotation) -> Iterator[LabelIssue]:
    sides = image.boxes[:, 2:] - image.boxes[:, :2]
    size = np.array([image.width, image.height])
    tolerance = EDGE_TOLERANCE * size
    outside = (image.boxes[:, :2] < -tolerance) | (image.boxes[:, 2:] > size + tolerance)
    for index in np.flatnonzero((sides <= 0).any(axis=1)).tolist():
        yield LabelIssue("box without area", image.file, _box_text(image, index))
    for index in np.flatnonzero(outside.any(axis=1) & (sides > 0).all(axis=1)).tolist():
        yield LabelIssue("box outside", image.file, f"{_box_text(image, index)} in {image.width} x {image.height}")
    valid = np.flatnonzero((sides > 0).all(axis=1))
    duplicates = np.triu(iou_matrix(image.boxes[valid], image.boxes[valid]) > DUPLICATE_IOU, 1)
    for first, second in zip(*np.nonzero(duplicates), strict=True):
        detail = f"{_box_text(image, valid[first])} and {_box_text(image, valid[second])}"
        yield LabelIssue("box twice", image.file, detail)


def _box_text(image: ImageAnnotation, index: int) -> str:
    return f"{image.classes[index]} {', '.join(f'{value:.10g}' for value in image.boxes[index])}"


def _class_issues(labels: AnnotatedDataset) -> Iterator[LabelIssue]:
    reason = (
        "is not in the set's list of classes"
        if labels.listed
        else "is not a known object of the sky, and the set has no list of classes (classes.txt): correct it, or list "
        "it there"
    )
    unknown = labels.unknown
    for image in labels.images:
        for name in dict.fromkeys(image.classes):
            if name in unknown:
                yield LabelIssue("unknown class", image.file, f"'{name}' {reason}")


def _duplicate_issues(decoded: DecodedImages) -> Iterator[LabelIssue]:
    first: dict[str, int] = {}
    for index, digest in enumerate(decoded.digests):
        if first.setdefault(digest, index) != index:
            detail = f"the same bytes as {decoded.images[first[digest]].file}"
            yield LabelIssue("same picture twice", decoded.images[index].file, detail)
    unique = list(first.values())
    groups = near_duplicates([decoded.small[index] for index in unique])
    first_of_group: dict[int, int] = {}
    for index, group in zip(unique, groups.tolist(), strict=True):
        if first_of_group.setdefault(group, index) != index:
            detail = f"looks like {decoded.images[first_of_group[group]].file}; a split keeps them together"
            yield LabelIssue("near duplicate", decoded.images[index].file, detail)


def describe_classes(labels: AnnotatedDataset) -> list[str]:
    """Return notes on a set that are not issues.

    They say what was left out, and which classes are not galaxies.
    """
    others = [f"{name} ({count})" for name, count in labels.counts.items() if not is_galaxy(name)]
    notes = list(labels.notes)
    if others:
        notes.append(f"not galaxies to the detector: {', '.join(others)}")
    return notes
