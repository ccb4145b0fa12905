"""Part a labelled set: training, validation and test, or folds; by content, what shows the same on one side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.sample import PARTS, DataError
from ..data.splits import folds, near_duplicates, split
from .annotation import AnnotatedDataset, ImageAnnotation, Progress, silent
from .check import LabelIssue, Looked, look
from .registry import FORMATS
from .writing import json_text, staged, write_text

NAMES = ("train", "validation", "test")
SEEDS = 200
"""Seeds that are tried to name one by which every class is in every part."""


def _ids(looked: Looked) -> list[str]:
    """Name pictures by their content, otherwise than a training does.

    It draws its own share by the same hash; of a part that was drawn by it too, that share would be all or nothing.
    """
    return [f"part:{digest}" for digest in looked.digests]


def looked_at(labels: AnnotatedDataset, progress: Progress = silent) -> Looked:
    """Decode every picture of a set that shall be parted.

    Raises:
        DataError: one is missing or broken.
    """

    def stop(fault: LabelIssue) -> None:
        if fault.kind in ("missing picture", "broken picture"):
            raise DataError(f"{fault.file}: {fault.detail}; galaxy-edge data check lists all such pictures")

    return look(labels, stop, progress)


def holdout(looked: Looked, shares: tuple[float, float], seed: int) -> dict[str, list[ImageAnnotation]]:
    """Part pictures into training, validation and test.

    Args:
        shares: of validation and test, 0..1; a part of share 0 is left out.

    Returns:
        name of the part -> its pictures.

    Raises:
        DataError: a part would be empty, or have none of a class that is on enough pictures to be in all.
    """
    groups = near_duplicates(looked.small)
    wanted = [place for place, share in enumerate((1.0, *shares)) if share]

    def lacking(parted: tuple[np.ndarray, ...]) -> Iterator[tuple[str, int]]:
        """Yield the classes that a part lacks, and which part."""
        held = [{kind for index in part.tolist() for kind in _kinds_of(looked.pictures[index])} for part in parted]
        for kind, count in everywhere.items():
            yield from ((kind, place) for place in wanted if count >= len(wanted) and kind not in held[place])
        yield from (("", place) for place in wanted if not len(parted[place]))

    def drawn(seed: int) -> tuple[np.ndarray, ...]:
        found = split(_ids(looked), groups, np.full(len(groups), -1), shares, seed)
        return found.train, found.validation, found.test

    everywhere = Counter(
        kind
        for kind, _ in {
            (kind, group)
            for one, group in zip(looked.pictures, groups.tolist(), strict=True)
            for kind in _kinds_of(one)
        }
    )
    parted = drawn(seed)
    for kind, place in lacking(parted):
        what = f"of the {everywhere[kind]} different pictures with '{kind}' none" if kind else "no picture"
        other = next((one for one in range(1, SEEDS) if not any(lacking(drawn(one)))), None)
        advice = f"take --seed {other}, by which all are everywhere" if other else "label more, or enlarge the share"
        raise DataError(f"{what} falls in the {NAMES[place]} part: {advice}")
    return {NAMES[place]: _take(looked, parted[place]) for place in wanted}


def k_fold(looked: Looked, k: int, seed: int) -> dict[str, list[ImageAnnotation]]:
    """Deal pictures into k folds, each class, and those without a box, as evenly as groups of duplicates allow.

    A picture with several classes counts as one of the rarest.

    Returns:
        ``fold-1/train``, ``fold-1/test`` ... -> pictures; every picture is in one test part.

    Raises:
        DataError: a class is on too few pictures.
    """
    counts = Counter(kind for one in looked.pictures for kind in _kinds_of(one))
    order = sorted(counts, key=lambda kind: (counts[kind], kind))
    rarest = np.array([min(map(order.index, _kinds_of(one)), default=-1) for one in looked.pictures], int)
    groups = near_duplicates(looked.small)
    try:
        dealt = folds(_ids(looked), groups, rarest, k, seed)
    except DataError:  # it would name the classes of a classifier
        different = Counter(place for place, _ in set(zip(rarest.tolist(), groups.tolist(), strict=True)) if place >= 0)
        place, count = min(different.items(), key=lambda item: item[1])
        raise DataError(
            f"{k} folds need {k} different pictures of each class, and of '{order[place]}' there are "
            f"{count}: label more of it, or take fewer folds"
        ) from None
    return {
        f"fold-{number}/{name}": _take(looked, part)
        for number, pair in enumerate(dealt, 1)
        for name, part in zip(("train", "test"), pair, strict=True)
    }


def _take(looked: Looked, part: np.ndarray) -> list[ImageAnnotation]:
    return [looked.pictures[index] for index in part.tolist()]


def _kinds_of(one: ImageAnnotation) -> set[str]:
    return set(one.classes)


def write_parts(
    labels: AnnotatedDataset,
    parts: Mapping[str, list[ImageAnnotation]],
    record: dict[str, Any],
    out: Path,
    kind: str,
    images: str,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write every part as a data set of its own, and ``split.json``, which says what is where.

    Args:
        parts: path of each part in the folder -> its pictures.
        record: how they were parted.
        out: folder to make; kind, images: as for `convert.write_labels`.

    Returns:
        What ``split.json`` holds, without the lists of files.

    Raises:
        DataError, WriteError: see `convert.write_labels`.
    """
    counts = {
        name: {"pictures": len(part), "boxes": sum(len(one.boxes) for one in part)} for name, part in parts.items()
    }
    with staged(out) as folder:
        for name, part in parts.items():
            FORMATS[kind].write(replace(labels, pictures=tuple(part)), folder / name, images, progress)
        files = {name: [one.file for one in part] for name, part in parts.items()}
        for place in {(folder / name).parent for name in parts} - {folder}:
            write_text(place / PARTS, json_text({"see": f"../{PARTS}"}))
        write_text(folder / PARTS, json_text({**record, "format": kind, "parts": counts, **files}))
    return {**record, "format": kind, "parts": counts}
