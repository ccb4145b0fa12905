"""`galaxy-edge eval night`: count what is found in a night.

The frames show known targets.

Every depth of stack is a separate run over the whole folder, through the same pipeline as `galaxy-edge run`. A galaxy
is found in a frame if a box holds its centre, and the centre lies within a quarter of the box's sides from its middle.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ...errors import UserError
from ...models.intervals import interval_text, poisson_interval, wilson_interval
from ...runtime.events.frame_record import FrameRecord
from ...runtime.run_config import RunConfig
from ...runtime.session import Session
from .records.raw import DepthResult, NightResult, TargetCount

COLUMNS = ("file", "object", "target_x", "target_y")
CENTRAL = 0.25
"""Maximum distance of the target from a box's middle, as a share of the box's sides."""


class NightError(UserError):
    """A truth table that cannot be read, or does not fit the frames."""

    exit_code = 2


@dataclass(frozen=True)
class Target:
    """A known object in a frame.

    Its name, its position in pixels of the source frame, and whether it is a galaxy.
    """

    name: str
    x: float
    y: float
    is_galaxy: bool


def read_truth(path: Path, is_galaxy: Callable[[str], bool | None]) -> dict[str, list[Target]]:
    """Read a truth table: targets by file name.

    Args:
        path: CSV with the columns `COLUMNS`, one row for each object in each frame; the optional column ``galaxy``
            (1 or 0) says whether it is one. Further columns are ignored.
        is_galaxy: called for objects without such a column; None if unknown, which counts as a galaxy.

    Raises:
        NightError: the table is missing, lacks a column, or holds a number that cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NightError(f"--truth {path} cannot be read: {error}") from None
    if not rows:
        raise NightError(f"--truth {path} has no rows")
    if missing := [name for name in COLUMNS if name not in rows[0]]:
        raise NightError(f"--truth {path} lacks the columns {', '.join(missing)}; needed are {', '.join(COLUMNS)}")
    targets: dict[str, list[Target]] = {}
    for number, row in enumerate(rows, 2):
        try:
            x, y = float(row["target_x"]), float(row["target_y"])
            stated = row.get("galaxy") or ""
            known = bool(int(stated)) if stated.strip() else is_galaxy(row["object"])
        except (TypeError, ValueError):
            raise NightError(f"--truth {path}, line {number}: target_x, target_y or galaxy is not a number") from None
        targets.setdefault(row["file"], []).append(Target(row["object"], x, y, known is not False))
    return targets


def holds_target(boxes: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return which boxes (N, 4) contain a position in their central part.

    The central part is `CENTRAL`; the result is (N,) bool.
    """
    middle, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return np.asarray((np.abs(middle - np.array([x, y])) <= CENTRAL * sides).all(axis=1))


@dataclass(frozen=True)
class FrameScore:
    """The result of one frame.

    Galaxies found, by name, and the number of false detections.
    """

    found: Mapping[str, bool]
    false: int


def score_frame(boxes: np.ndarray, targets: Iterable[Target]) -> FrameScore:
    """Compare a frame's boxes (N, 4) with its targets.

    Boxes are in pixels of the source frame.

    A detection is false unless it holds the centre of a galaxy anywhere inside it.
    """
    found: dict[str, bool] = {}
    right = np.zeros(len(boxes), bool)
    for target in targets:
        if target.is_galaxy:
            found[target.name] = bool(holds_target(boxes, target.x, target.y).any())
            low, high = boxes[:, :2] <= (target.x, target.y), boxes[:, 2:] >= (target.x, target.y)
            right |= (low & high).all(axis=1)
    return FrameScore(found, int((~right).sum()))


def evaluate_night(
    folder: Path,
    truth: Mapping[str, Sequence[Target]],
    config: RunConfig,
    depths: Sequence[int],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> NightResult:
    """Run over a folder of frames for each depth of stack; compare with the truth.

    Args:
        folder: folder or zip of frames; those that the truth does not name are not counted.
        truth: targets by file name, see `read_truth`.
        config: how to run; source, output folder and stack are set here.
        depths: numbers of frames in a stack; 1 for single exposures.
        progress: called with the number of frames done and their total.

    Returns:
        The result of each depth.

    Raises:
        NightError: no frame has a row in the table.
    """
    results: list[DepthResult] = []
    unknown = known = 0
    for number, depth in enumerate(depths):
        scores: list[FrameScore] = []
        unknown = known = 0
        session = Session(dataclasses.replace(config, source=str(folder), out=None, stack=depth))
        total = (session.length or 0) * len(depths)

        def take(
            _frame: Any, _detections: Any, record: FrameRecord, stats: Any, scores: list[FrameScore] = scores,
            depth: int = depth, before: int = number * (session.length or 0), total: int = total,
        ) -> None:  # fmt: skip
            nonlocal unknown, known
            progress(before + stats.frames, total)
            targets = truth.get(PurePosixPath(record.source).name)
            if targets is None:
                unknown += 1
                return
            known += 1
            if record.stacked == depth:  # skip stacks that have not reached this depth
                boxes = np.array([found.box for found in record.detections], np.float64).reshape(-1, 4)
                scores.append(score_frame(boxes, targets))

        session.run(take)
        if unknown and not known:
            raise NightError(f"no frame of {folder} has a row in the truth table, which must name the files")
        results.append(summarise(depth, scores))
    return NightResult(folder.resolve().name, results, unknown)


def summarise(depth: int, scores: Sequence[FrameScore]) -> DepthResult:
    """Summarise the frames of a depth of stack by galaxy."""
    galaxies: dict[str, TargetCount] = {}
    for name in dict.fromkeys(name for score in scores for name in score.found):
        frames = [score.found[name] for score in scores if name in score.found]
        interval = wilson_interval(sum(frames), len(frames))
        galaxies[name] = TargetCount(len(frames), sum(frames), sum(frames) / len(frames), interval)
    false = sum(score.false for score in scores)
    empty = [score for score in scores if not score.found]
    return DepthResult(
        depth=depth,
        frames=len(scores),
        galaxies=galaxies,
        false=false,
        false_per_frame=false / len(scores) if scores else None,
        false_interval=poisson_interval(false, len(scores)) if scores else None,
        frames_without_galaxy=len(empty),
        false_without_galaxy=sum(score.false for score in empty),
    )


def night_rows(depths: Sequence[DepthResult]) -> list[tuple[str, ...]]:
    """Return table rows for each depth of stack and object.

    They hold frames, found, share and false detections per frame; of single frames with intervals. Stacks overlap, so
    that an interval for independent frames would be too narrow.
    """
    rows: list[tuple[str, ...]] = []
    for depth in depths:
        false = "-"
        single = depth.depth == 1
        if depth.false_interval:
            false = f"{depth.false_per_frame:.3f}{interval_text(depth.false_interval) if single else ''}"
        if not depth.galaxies:
            rows.append((str(depth.depth), "no galaxy", str(depth.frames), "-", "-", false))
        for name, galaxy in depth.galaxies.items():
            share = f"{galaxy.share:.2f}{interval_text(galaxy.interval, 2) if single else ''}"
            rows.append((str(depth.depth), name, str(galaxy.frames), str(galaxy.found), share, false))
    return rows
