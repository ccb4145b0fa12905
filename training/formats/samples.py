"""Convert a user's annotations to samples for training and evaluation."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...models.labels import GALAXY10
from ..data.catalogues import CATALOGUES, LABELLED, class_index, split_boxes
from ..data.errors import DataError
from ..data.sample import Sample
from ..data.vocabulary import is_galaxy
from .annotation import ImageAnnotation, LabelError
from .check import LabelIssue, find_training_issues
from .csv_tables import box_row
from .registry import read_labels

logger = logging.getLogger(__name__)


class InvalidLabelsError(DataError):
    """Labels or images that are invalid.

    A command that can leave them out adds to the message how.
    """


def read_samples(path: Path, skip_invalid: bool = False) -> list[Sample]:
    """Read a data set in any label format as samples.

    Args:
        skip_invalid: leave invalid labels and images out, with a warning that counts them by kind, instead of raising.

    Raises:
        InvalidLabelsError: a label or an image is invalid; with `skip_invalid`, all are.
        DataError: there are no labelled images, or none of the classes is a galaxy.
    """
    issues: list[LabelIssue] = []

    def add_issue(error: LabelError) -> None:
        issues.append(LabelIssue(error.kind, error.file, error.reason))

    labels = read_labels(path, on_error=add_issue)
    found, binning = find_training_issues(labels)
    issues += found
    invalid = {issue.file for issue in issues}
    images = [image for image in labels.images if image.file not in invalid]
    if issues and not (skip_invalid and images):
        first = issues[0]
        more = f" (and {len(issues) - 1} more errors)" if len(issues) > 1 else ""
        raise InvalidLabelsError(
            f"{path}: {first.file}: {first.kind}: {first.detail}{more}. 'galaxy-edge data check "
            f"{path}' lists all: correct or remove them"
        )
    if issues:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in Counter(issue.kind for issue in issues).items())
        total = len(images) + len(invalid)
        logger.warning("%s: left out %d of %d labels and images: %s", path, len(invalid), total, kinds)
    if not images:
        raise DataError(f"{path} holds no labelled image")
    if labels.counts and not any(map(is_galaxy, labels.counts)):
        raise DataError(
            f"{path} has no class that is a galaxy, only {', '.join(labels.counts)}: name galaxies "
            "'galaxy', or by their Galaxy10 class"
        )
    return [sample_from_annotation(_in_developed_pixels(image, binning.get(image.file, 1))) for image in images]


def _in_developed_pixels(image: ImageAnnotation, binning: int) -> ImageAnnotation:
    """Convert an annotation to pixels of the developed image.

    Where the file is a Bayer mosaic, these are superpixels with sides of `binning` pixels.
    """
    if binning == 1:
        return image
    width, height = image.width // binning, image.height // binning
    return replace(image, boxes=image.boxes / binning, width=width, height=height)


def sample_from_annotation(image: ImageAnnotation) -> Sample:
    """Convert an annotation to a sample.

    Boxes of galaxies (in pixels of the developed image), clipped to the image, are to be detected or, where difficult,
    ignored. Boxes of other classes are background. An image is completely boxed unless its set says otherwise. An
    image of one galaxy whose class is a Galaxy10 class has a label too.

    Raises:
        DataError: the image itself is missing.
    """
    if image.archive is None:
        raise DataError(f"{image.file}: the image is missing; galaxy-edge data check lists all missing images")
    rows = [box_row(image, index) for index, name in enumerate(image.classes) if is_galaxy(name)]
    boxes, ignore = (_clip_boxes(part, image) for part in split_boxes(rows))
    about = {key: value for key, value in image.about.items() if isinstance(value, str)}
    label = -1
    with contextlib.suppress(ValueError):  # another program may use these names for other properties
        label = class_index(about.get("g10", ""), about.get("g10_p", ""))
    certain = [
        name.lower()
        for name, difficult in zip(image.classes, image.difficult, strict=True)
        if is_galaxy(name) and not difficult
    ]
    if label < 0 and len(certain) == 1 and certain[0] in GALAXY10:
        label = class_index(str(GALAXY10.index(certain[0])))
    return Sample(
        about["set"] if about.get("set") in CATALOGUES else LABELLED,
        image.file,
        image.archive,
        image.member,
        kind="galaxy" if rows or about.get("kind") == "galaxy" else "negative",
        label=label,
        coarse=about.get("coarse", ""),
        boxes=boxes,
        ignore=ignore,
        complete=about.get("boxes_complete", "1") == "1",
        row=about,
        box_rows=tuple(rows),
    )


def _clip_boxes(boxes: np.ndarray, image: ImageAnnotation) -> np.ndarray:
    clipped: np.ndarray = np.clip(boxes, 0, np.array([image.width, image.height] * 2, np.float32))
    kept: np.ndarray = clipped[(clipped[:, 2:] > clipped[:, :2]).all(axis=1)]
    return kept
