"""What a user labelled, as the samples that networks are trained and measured on."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...models.labels import GALAXY10
from ..data.sample import LABELLED, SETS, DataError, Sample, class_of, is_galaxy, split_boxes
from .annotation import ImageAnnotation, LabelError
from .check import LabelIssue, unfit
from .csv_tables import box_row
from .registry import format_of, read_labels

__all__ = ["FaultyLabels", "format_of", "read_samples", "sample_of"]


class FaultyLabels(DataError):
    """Labels or pictures that are not as they must be; a command that can leave them out adds how."""


def read_samples(path: Path, skipped: Callable[[str], None] | None = None) -> list[Sample]:
    """Read a data set in any label format as samples.

    Args:
        skipped: told what is left out, by kind of fault and number; without it, a fault ends the work.

    Raises:
        FaultyLabels: a label or picture is not as it must be.
        DataError: there is none, or no class in it is a galaxy.
    """
    faults: list[LabelIssue] = []

    def complain(problem: LabelError) -> None:
        faults.append(LabelIssue(problem.kind, problem.file, problem.fault))

    labels = read_labels(path, complain=complain)
    faults += unfit(labels)
    bad = {fault.file for fault in faults}
    pictures = [one for one in labels.pictures if one.file not in bad]
    if faults and (skipped is None or not pictures):
        first = faults[0]
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise FaultyLabels(
            f"{path}: {first.file}: {first.kind}: {first.detail}{more}. 'galaxy-edge data check "
            f"{path}' lists all: mend or remove them"
        )
    if faults and skipped:
        kinds = Counter(fault.kind for fault in faults)
        skipped(
            f"{path}: left out {len(bad)} of {len(pictures) + len(bad)} labels and pictures: "
            + ", ".join(f"{kind} ({count})" for kind, count in kinds.items())
        )
    if not pictures:
        raise DataError(f"{path} holds no labelled picture")
    if labels.counts and not any(map(is_galaxy, labels.counts)):
        raise DataError(
            f"{path} has no class that is a galaxy, only {', '.join(labels.counts)}: name galaxies "
            "'galaxy', or by their Galaxy10 class"
        )
    return [sample_of(one) for one in pictures]


def sample_of(one: ImageAnnotation) -> Sample:
    """Make a sample: boxes of galaxies, clipped to the picture, to find or, where difficult, to ignore.

    Boxes of other classes are sky that is no galaxy. Frames are complete unless their set said otherwise. A picture of
    one galaxy whose class is of Galaxy10 has a label too.
    """
    if one.archive is None:
        raise DataError(f"{one.file}: the picture is not there; galaxy-edge data check lists all that are missing")
    rows = [box_row(one, place) for place, name in enumerate(one.classes) if is_galaxy(name)]
    boxes, ignore = (_clipped(some, one) for some in split_boxes(rows))
    about = {key: value for key, value in one.about.items() if isinstance(value, str)}
    label = -1
    with contextlib.suppress(ValueError):  # another program's properties of these names
        label = class_of(about.get("g10", ""), about.get("g10_p", ""))
    sure = [name.lower() for name, flag in zip(one.classes, one.difficult, strict=True) if is_galaxy(name) and not flag]
    if label < 0 and len(sure) == 1 and sure[0] in GALAXY10:
        label = class_of(str(GALAXY10.index(sure[0])))
    return Sample(
        about["set"] if about.get("set") in SETS else LABELLED,
        one.file,
        one.archive,
        one.member,
        kind="galaxy" if rows or about.get("kind") == "galaxy" else "negative",
        label=label,
        coarse=about.get("coarse", ""),
        boxes=boxes,
        ignore=ignore,
        complete=about.get("boxes_complete", "1") == "1",
        row=about,
        box_rows=tuple(rows),
    )


def _clipped(boxes: np.ndarray, one: ImageAnnotation) -> np.ndarray:
    clipped = np.clip(boxes, 0, np.array([one.width, one.height] * 2, np.float32))
    return clipped[(clipped[:, 2:] > clipped[:, :2]).all(axis=1)]
