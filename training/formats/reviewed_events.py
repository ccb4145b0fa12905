"""Labelled images from what people said about events on the live page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...runtime.events.queries import NoSuchEvent, get_event
from ...runtime.events.reviews import NOT_A_GALAXY, Review, read_reviews
from ..data.errors import DataError
from .annotation import AnnotatedDataset, ErrorHandler, ImageAnnotation, build_dataset, raise_error
from .images import image_size

MARGIN = 0.2
"""Sky around a crop's object as a share of the longer side of its box, see `runtime.tracking.association.cut_out`."""


def read_reviewed_events(folder: Path, on_error: ErrorHandler = raise_error) -> AnnotatedDataset:
    """Return the reviewed crops of an output folder as labelled images.

    A right event is labelled with its class, a wrong one with the class that was given; what is not a galaxy is an
    image without a box, which teaches a detector what to leave alone.

    Args:
        folder: the output folder of a run.
        on_error: called for each label that cannot be used.

    Raises:
        DataError: nobody has said anything about its events.
        UsageError: the answers cannot be read.
    """
    reviews = [_with_crop(folder, review) for review in read_reviews(folder)]
    if not reviews:
        raise DataError(f"'{folder}' has no answers: give them on the live page, Right, Wrong or Not a galaxy")
    usable = [review for review in reviews if review.crop and (review.name or review.verdict == NOT_A_GALAXY)]
    unnamed = sum(review.name is None and review.verdict != NOT_A_GALAXY for review in reviews)
    missing = sum(review.crop is None for review in reviews)
    notes = [f"{unnamed} wrong without the true class: left out"] if unnamed else []
    notes += [f"{missing} without a crop: left out"] if missing else []
    return build_dataset("reviews", [_annotation(folder, review) for review in usable], on_error, notes=notes)


def _with_crop(folder: Path, review: Review) -> Review:
    """Return a review with the event's own crop, if it came before that was written."""
    if review.crop is not None or not (folder / "events.sqlite").is_file():
        return review
    try:
        event = get_event(folder, review.event)
    except NoSuchEvent:  # it was deleted since
        return review
    if event.crop is None or not (folder / event.crop).is_file():
        return review
    x0, y0, x1, y1 = event.box
    return replace(review, crop=event.crop, box=(x0, y0, x1, y1))


def _annotation(folder: Path, review: Review) -> ImageAnnotation:
    assert review.crop is not None
    path = folder / review.crop
    try:
        width, height = image_size(path.read_bytes(), review.crop)
    except OSError as error:
        raise DataError(f"the crop {path} of a reviewed event cannot be read: {error.strerror}") from None
    boxes = box_in_crop(review.box, width, height)[None] if review.name else np.zeros((0, 4))
    classes = (review.name,) if review.name else ()
    about = {"event": review.event, "verdict": review.verdict, "predicted": review.predicted}
    return ImageAnnotation(
        f"{review.event}{path.suffix}", width, height, boxes, classes, np.zeros(len(boxes), bool), about=about,
        archive=path.parent, member=path.name,
    )  # fmt: skip


def box_in_crop(box: tuple[float, float, float, float], width: int, height: int) -> np.ndarray:
    """Return an event's box (4,) in pixels of its crop.

    Args:
        box: in pixels of the source's frame.
        width, height: of the crop. It has half the source's scale if the source is a mosaic.
    """
    x0, y0, x1, y1 = box
    span = max(x1 - x0, y1 - y0)
    # A crop's longer side is 1 to 1.4 times that of its box, or half of that at half the scale.
    binning = 2 if (width if x1 - x0 >= y1 - y0 else height) < 0.85 * span else 1
    left, top = max(0, int((x0 - MARGIN * span) / binning)), max(0, int((y0 - MARGIN * span) / binning))
    corner = np.array([left, top, left, top])
    inside: np.ndarray = np.clip(np.array(box) / binning - corner, 0, [width, height, width, height])
    return inside
