"""Part pictures into training, validation and test so that no galaxy is on two sides.

The same galaxy comes twice: under two names, from two surveys' cut-outs, re-encoded, resized. Such pictures form a
group, and a group is never parted. Where a group goes, the hash of its content says, so that a split stays what it is
when pictures are added or reordered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ...models.labels import CLASSES
from ...models.preprocess import resize
from .sample import DataError, in_share

SIDE, SMALL, COARSE_SIDE = 69, 36, 24
"""Sides in pixels at which pictures are compared: for the verdict, for a first alignment, for finding candidates."""

CANDIDATE, NEIGHBOURS = 0.6, 6
"""A pair is looked at when its coarse planes correlate by this, and one is among so many nearest to the other."""

ALIGNED = 0.77
"""Correlation after the first alignment below which a pair is given up (the lowest of true pairs seen: 0.79)."""

SAME, SAME_ASYMMETRY = 0.55, 0.5
"""Correlations, as a whole and of what is not point-symmetric, from which on two pictures show the same galaxy.

Chosen by eye on 7,971 pictures of EFIGI and Galaxy Zoo: true pairs reach 0.59 and 0.51 at least; the most alike of
other galaxies, thin edge-ons side by side, 0.52 and 0.49. Of pictures cropped by up to 5 %, resized, re-encoded,
brightened and turned, 99 % exceed 0.66 and 0.60.
"""

CRITERIA = (CANDIDATE, NEIGHBOURS, ALIGNED, SAME, SAME_ASYMMETRY)
"""All that groups of duplicates depend on beside the pictures."""

BLOCK = 512


@dataclass(frozen=True)
class Split:
    """Which pictures are for what.

    Attributes:
        train, validation, test: (n,) int indices, ascending, no picture in two.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def near_duplicates(images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Group pictures of the same galaxy.

    Smooth galaxies all look alike, so likeness alone is no evidence. Pairs with alike coarse structure are aligned
    by an affine map (ECC: Evangelidis & Psarakis 2008, doi:10.1109/TPAMI.2008.113), after the turn by 90 degrees or
    mirroring that fits best; then what is left when each picture is subtracted from itself turned by 180 degrees
    must agree: stars, neighbours, clumps and noise, which no other galaxy has in the same places.

    Args:
        images: (N, S, S, 3) uint8 RGB, or a list of pictures of any size; the galaxy in the middle.

    Returns:
        (N,) int group ids, 0..G-1 in the order of first appearance; a picture without a twin has its own.
    """
    parent = np.arange(len(images))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = int(parent[index])
        return index

    first: dict[bytes, int] = {}
    for index, image in enumerate(images):
        # Pixels alone would take a picture for its own reshaping.
        key = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).digest()
        parent[index] = first.setdefault(key, index)
    unique = list(first.values())
    greys = [_grey(images[index]) for index in unique]
    small, coarse = [], np.zeros((len(greys), COARSE_SIDE, COARSE_SIDE), np.float32)
    for number, grey in enumerate(greys):
        structure = _structure(grey, 1.0, 6.0)
        small.append(_shrunk(structure, SMALL))
        plane = _shrunk(structure, COARSE_SIDE)
        plane -= plane.mean()
        coarse[number] = plane / (np.linalg.norm(plane) + 1e-6)
    for one, other, turn in zip(*(column.tolist() for column in _candidates(coarse)), strict=True):
        a, b = root(unique[one]), root(unique[other])
        if a != b and _same_galaxy(greys[one], greys[other], small[one], small[other], turn):
            parent[max(a, b)] = min(a, b)
    return np.unique([root(index) for index in range(len(images))], return_inverse=True)[1].astype(np.intp)


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(resize(image, SIDE, SIDE), cv2.COLOR_RGB2GRAY)


def _structure(grey: np.ndarray, fine: float, broad: float) -> np.ndarray:
    """Keep detail between two widths (sigmas in pixels), equally strong in the bright middle and in the sky."""
    level = np.sqrt(grey.astype(np.float32))
    detail = cv2.GaussianBlur(level, (0, 0), fine) - cv2.GaussianBlur(level, (0, 0), broad)
    return detail / np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 2 * broad) + 0.01)


def _shrunk(plane: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA)


def _turned(plane: np.ndarray, turn: int) -> np.ndarray:
    """Turn planes (..., S, S) by `turn` % 4 right angles, mirrored before when `turn` >= 4."""
    return np.ascontiguousarray(np.rot90(plane[..., ::-1] if turn >= 4 else plane, turn % 4, (-2, -1)))


def _candidates(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find pairs of planes (N, S, S), each of norm 1, that correlate in some orientation.

    Returns:
        indices (M,) and (M,), and the turn (M,) that brings the second to fit.
    """
    count = len(planes)
    flat = planes.reshape(count, COARSE_SIDE * COARSE_SIDE)
    found: list[tuple[np.ndarray, ...]] = []
    for start in range(0, count, BLOCK):
        # Turning one side of a pair is enough, and each pair is met once, from its lower block.
        block, rest = planes[start : start + BLOCK], flat[start:].T
        best = block.reshape(-1, flat.shape[1]) @ rest
        for turn in range(1, 8):
            np.maximum(best, _turned(block, turn).reshape(-1, flat.shape[1]) @ rest, out=best)
        rows, columns = np.nonzero(best > CANDIDATE)
        above = columns > rows
        rows, columns = rows[above], columns[above]
        found.append((rows + start, columns + start, best[rows, columns]))
    if not found:
        return (np.zeros(0, int),) * 3
    one, other, likeness = (np.concatenate(column) for column in zip(*found, strict=True))
    ends, pairs = np.concatenate([one, other]), np.tile(np.arange(len(one)), 2)
    order = np.lexsort((-likeness[pairs], ends))
    starts = np.searchsorted(ends[order], np.arange(count))
    near = np.arange(len(order)) - starts[ends[order]] < NEIGHBOURS
    kept = np.unique(pairs[order][near])
    one, other = one[kept], other[kept]
    turns = np.zeros(len(kept), int)
    for some in np.array_split(np.arange(len(kept)), len(kept) // 4096 + 1):
        fixed, moving = planes[one[some]], planes[other[some]]
        turns[some] = np.argmax([np.einsum("nij,nij->n", fixed, _turned(moving, turn)) for turn in range(8)], axis=0)
    return one, other, turns


def _align(fixed: np.ndarray, moving: np.ndarray, matrix: np.ndarray, steps: int) -> tuple[float, np.ndarray]:
    """Improve the affine `matrix` (2, 3) from pixels of `fixed` to those of `moving`; -1 where none is found."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-3)
    try:
        mask = np.full(fixed.shape, 255, np.uint8)
        score, matrix = cv2.findTransformECC(fixed, moving, matrix, cv2.MOTION_AFFINE, stop, mask, 1)
    except cv2.error:
        return -1.0, matrix  # OpenCV's way of saying that the two do not correlate
    return float(score), matrix


def _same_galaxy(one: np.ndarray, other: np.ndarray, small_one: np.ndarray, small_other: np.ndarray, turn: int) -> bool:
    """Decide whether two grey pictures, the second turned, show the same galaxy."""
    score, matrix = _align(small_one, _turned(small_other, turn), np.eye(2, 3, dtype=np.float32), 5)
    if score < ALIGNED:
        return False
    ratio = SIDE / SMALL
    # Pixel centres lie at half-integers, so a change of scale moves the origin too.
    shift = matrix[:, :2] @ np.full(2, 0.5 / ratio - 0.5, np.float32) + matrix[:, 2] + 0.5
    matrix = np.column_stack([matrix[:, :2], shift * ratio - 0.5]).astype(np.float32)
    other = _turned(other, turn)
    score, matrix = _align(_structure(one, 1.0, 6.0), _structure(other, 1.0, 6.0), matrix, 20)
    if score < ALIGNED:
        return False
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fixed = _structure(one, 0.7, 3.0)
    moved = cv2.warpAffine(_structure(other, 0.7, 3.0), matrix, (SIDE, SIDE), flags=flags)
    seen = cv2.warpAffine(np.ones((SIDE, SIDE), np.float32), matrix, (SIDE, SIDE), flags=flags) > 0.99
    seen[:3] = seen[-3:] = seen[:, :3] = seen[:, -3:] = False  # blurring has met the rim there
    both = seen & seen[::-1, ::-1]
    if both.sum() < SIDE * SIDE / 10:
        return False
    odd_fixed, odd_moved = fixed - fixed[::-1, ::-1], moved - moved[::-1, ::-1]
    return _correlation(fixed[seen], moved[seen]) >= SAME and (
        _correlation(odd_fixed[both], odd_moved[both]) >= SAME_ASYMMETRY
    )


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / np.sqrt((one @ one) * (other @ other) + 1e-9))


def _group_ids(ids: Sequence[str], groups: np.ndarray) -> dict[int, str]:
    """Name each group by its smallest id."""
    heads: dict[int, str] = {}
    for name, group in zip(ids, groups.tolist(), strict=True):
        heads[group] = min(name, heads.get(group, name))
    return heads


def name_of(label: int, classes: Sequence[str] = CLASSES) -> str:
    """Name a class for a message."""
    return f"class '{classes[label]}'" if label < len(classes) else f"class {label}"


def split(
    ids: Sequence[str],
    groups: np.ndarray,
    labels: np.ndarray,
    shares: tuple[float, float],
    seed: int,
    classes: Sequence[str] = CLASSES,
) -> Split:
    """Part pictures by content; a group goes where the seeded hash of its smallest id falls.

    A picture added later moves no other, unless it joins a group and has the smallest id there.

    Args:
        ids: (N,) content hashes (`Sample.digest`).
        groups: (N,) group ids (`near_duplicates`).
        labels: (N,) classes, -1 for none.
        shares: shares (0..1) for validation and test; a share of 0 leaves its part empty.
        classes: their names, for messages.

    Raises:
        ValueError: the shares leave nothing to train on.
        DataError: a class has no picture in some part.
    """
    validation, test = shares
    if min(shares) < 0 or validation + test >= 1:
        raise ValueError(f"shares of {validation} and {test} leave no training part; their sum must be below 1")
    groups, labels = np.asarray(groups), np.asarray(labels)
    part_of = {
        group: 2 if in_share(head, test, seed) else int(in_share(head, test + validation, seed))
        for group, head in _group_ids(ids, groups).items()
    }
    parts = np.array([part_of[group] for group in groups.tolist()], int)
    for number, (name, share) in enumerate((("training", 1.0), ("validation", validation), ("test", test))):
        for label in np.unique(labels[labels >= 0]).tolist():
            if share and not np.any(labels[parts == number] == label):
                galaxies = len(np.unique(groups[labels == label]))
                raise DataError(
                    f"{name_of(label, classes)} has {np.sum(labels == label)} pictures of {galaxies} "
                    f"different galaxies and none falls in the {name} part: add pictures of it, leave the "
                    "class out, or take another seed"
                )
    return Split(*(np.flatnonzero(parts == number) for number in range(3)))


def split_hash(split: Split, ids: Sequence[str]) -> str:
    """Hash what is in which part, whatever the order of the pictures (SHA-256, hex)."""
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    lines = sorted(f"{name}:{ids[index]}" for name, part in parts.items() for index in part.tolist())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def folds(
    ids: Sequence[str],
    groups: np.ndarray,
    labels: np.ndarray,
    k: int,
    seed: int,
    repeat: int = 0,
    classes: Sequence[str] = CLASSES,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Deal pictures into k folds, whole groups, each class as evenly as groups allow.

    Large groups are dealt first, then by seeded hash, each to the fold that has fewest of its class; the order of
    the pictures plays no part. A picture without a class (-1) is dealt too; it can teach, but not be scored.

    Args:
        ids, groups, labels, classes: as for `split`.
        k: number of folds, at least 2.
        repeat: number of the repetition (0, 1, ...); each deals anew.

    Returns:
        k pairs of (train, test) int indices, ascending; every picture is in one test part.

    Raises:
        ValueError: k is below 2.
        DataError: a class has too few groups to have one in every fold.
    """
    if k < 2:
        raise ValueError(f"k is {k}; at least 2 folds are needed")
    groups, labels = np.asarray(groups), np.asarray(labels)
    heads = _group_ids(ids, groups)
    members: dict[int, list[int]] = {group: [] for group in heads}
    for index, group in enumerate(groups.tolist()):
        members[group].append(int(labels[index]))
    main = {
        group: max(set(held), key=lambda label, held=held: (held.count(label), label))  # type: ignore[misc]
        for group, held in members.items()
    }
    for label in np.unique(labels[labels >= 0]).tolist():
        if sum(chief == label for chief in main.values()) < k:
            raise DataError(
                f"{name_of(label, classes)} has {np.sum(labels == label)} pictures, too few different ones "
                f"for {k} folds: add pictures of it, or take fewer folds"
            )
    draw = {group: hashlib.sha256(f"{seed}:{repeat}:{head}".encode()).hexdigest() for group, head in heads.items()}
    counts = np.zeros((k, int(labels.max(initial=0)) + 2), int)  # the last column is for pictures without a class
    fold_of: dict[int, int] = {}
    for group in sorted(members, key=lambda group: (-len(members[group]), draw[group])):
        fold = min(range(k), key=lambda fold: (counts[fold, main[group]], counts[fold].sum(), fold))
        fold_of[group] = fold
        np.add.at(counts[fold], members[group], 1)
    dealt = np.array([fold_of[group] for group in groups.tolist()], int)
    return [(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(k)]
