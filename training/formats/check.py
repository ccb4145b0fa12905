"""What is wrong with a labelled set: found all at once, before a training finds it one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...models.boxes import iou_matrix
from ...models.preprocess import resize
from ..data.sample import DataError, is_galaxy
from ..data.splits import near_duplicates
from .annotation import AnnotatedDataset, ImageAnnotation, LabelError, Progress, silent
from .images import BrokenPicture, decode
from .registry import format_of, read_labels

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
TWICE = 0.95
"""IoU from which on two boxes are taken for one that was drawn twice."""
LOOK = 69
"""Side in pixels at which pictures are compared, as in `study`."""
SLACK = 2e-6
"""Share of the picture by which a box may stand out: numbers with six decimals are not more exact."""


@dataclass(frozen=True)
class LabelIssue:
    """One fault: its `kind` (one of `KINDS`), the `file` that it is in, and what is wrong there."""

    kind: str
    file: str
    detail: str


@dataclass(frozen=True)
class Looked:
    """Pictures that could be decoded: their labels, content hashes (hex) and (LOOK, LOOK, 3) uint8 small versions."""

    pictures: tuple[ImageAnnotation, ...]
    digests: tuple[str, ...]
    small: tuple[np.ndarray, ...]


def look(labels: AnnotatedDataset, tell: Callable[[LabelIssue], None], progress: Progress = silent) -> Looked:
    """Decode every picture, and tell of those that are missing, broken, or of another size than their label says."""
    found: list[tuple[ImageAnnotation, str, np.ndarray]] = []
    for done, one in enumerate(labels.pictures):
        progress(done, len(labels.pictures))
        try:
            content = one.read_bytes()
            image = decode(content)
        except BrokenPicture as fault:
            tell(LabelIssue("broken picture", one.file, str(fault)))
            continue
        except LabelError as fault:
            tell(LabelIssue("missing picture", one.file, fault.fault))
            continue
        except DataError as fault:
            tell(LabelIssue("missing picture", one.file, str(fault)))
            continue
        height, width = image.shape[:2]
        if (width, height) != (one.width, one.height):
            tell(
                LabelIssue(
                    "size differs",
                    one.file,
                    f"the picture has {width} x {height} pixels, its label says {one.width} x {one.height}",
                )
            )
        found.append((one, hashlib.sha256(content).hexdigest(), resize(image, LOOK, LOOK)))
    pictures, digests, small = zip(*found, strict=True) if found else ((), (), ())
    return Looked(tuple(pictures), tuple(digests), tuple(small))


def check(
    path: Path, kind: str | None = None, progress: Progress = silent, say: Callable[[str], None] = lambda _: None
) -> tuple[AnnotatedDataset, list[LabelIssue]]:
    """Check a labelled set.

    Args:
        path, kind: as for `convert.read_labels`.
        progress: told how many pictures are looked at; say: told what else is being done.

    Returns:
        What could be read, and what was found, sorted by kind and file.

    Raises:
        DataError: there are no labels in a known format.
    """
    found: list[LabelIssue] = []

    def complain(problem: LabelError) -> None:
        found.append(LabelIssue(problem.kind, problem.file, problem.fault))

    kind = kind or format_of(path)
    try:
        labels = read_labels(path, kind, complain, progress)
    except LabelError as problem:
        complain(problem)
        return AnnotatedDataset(kind or "", (), ()), found
    looked = look(labels, found.append, progress)
    for one in labels.pictures:
        found.extend(_boxes_of(one))
    found.extend(_classes_of(labels))
    say(f"comparing {len(looked.pictures)} pictures")
    found.extend(_twins(looked))
    if not (labels.pictures or found):
        found.append(LabelIssue("unreadable label", path.name, "there is no labelled picture in it"))
    return labels, sorted(found, key=lambda one: (KINDS.index(one.kind), one.file))


def unfit(labels: AnnotatedDataset) -> list[LabelIssue]:
    """Find what forbids to train on a set as it is: pictures not as labelled, boxes that cannot be, unknown classes."""
    found: list[LabelIssue] = []
    look(labels, found.append)
    for one in labels.pictures:
        found.extend(fault for fault in _boxes_of(one) if fault.kind != "box twice")
    found.extend(_classes_of(labels))
    return found


def _boxes_of(one: ImageAnnotation) -> Iterator[LabelIssue]:
    sides = one.boxes[:, 2:] - one.boxes[:, :2]
    slack = SLACK * np.array([one.width, one.height])
    out = (one.boxes[:, :2] < -slack) | (one.boxes[:, 2:] > np.array([one.width, one.height]) + slack)
    for place in np.flatnonzero((sides <= 0).any(axis=1)).tolist():
        yield LabelIssue("box without area", one.file, _box(one, place))
    for place in np.flatnonzero(out.any(axis=1) & (sides > 0).all(axis=1)).tolist():
        yield LabelIssue("box outside", one.file, f"{_box(one, place)} in {one.width} x {one.height}")
    whole = np.flatnonzero((sides > 0).all(axis=1))
    alike = np.triu(iou_matrix(one.boxes[whole], one.boxes[whole]) > TWICE, 1)
    for first, second in zip(*np.nonzero(alike), strict=True):
        yield LabelIssue("box twice", one.file, f"{_box(one, whole[first])} and {_box(one, whole[second])}")


def _box(one: ImageAnnotation, place: int) -> str:
    return f"{one.classes[place]} {', '.join(f'{value:.10g}' for value in one.boxes[place])}"


def _classes_of(labels: AnnotatedDataset) -> Iterator[LabelIssue]:
    why = (
        "is not in the set's list of classes"
        if labels.listed
        else (
            "is no known thing of the sky, and the set has no list of classes (classes.txt): mend it, or list it there"
        )
    )
    unknown = labels.unknown
    for one in labels.pictures:
        yield from (
            LabelIssue("unknown class", one.file, f"'{name}' {why}")
            for name in dict.fromkeys(one.classes)
            if name in unknown
        )


def _twins(looked: Looked) -> Iterator[LabelIssue]:
    first: dict[str, int] = {}
    for index, digest in enumerate(looked.digests):
        if first.setdefault(digest, index) != index:
            yield LabelIssue(
                "same picture twice",
                looked.pictures[index].file,
                f"byte for byte {looked.pictures[first[digest]].file}",
            )
    single = list(first.values())
    groups = near_duplicates([looked.small[index] for index in single])
    heads: dict[int, int] = {}
    for index, group in zip(single, groups.tolist(), strict=True):
        if heads.setdefault(group, index) != index:
            yield LabelIssue(
                "near duplicate",
                looked.pictures[index].file,
                f"looks like {looked.pictures[heads[group]].file}; a split keeps them together",
            )


def remarks(labels: AnnotatedDataset) -> list[str]:
    """Tell what is no fault, but good to know: what was left out, and which classes are no galaxies."""
    others = [f"{name} ({count})" for name, count in labels.counts.items() if not is_galaxy(name)]
    said = list(labels.notes)
    if others:
        said.append(f"not galaxies to the detector: {', '.join(others)}")
    return said
