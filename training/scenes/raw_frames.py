"""Read raw exposures of known targets.

They are FITS frames, as files or in zips, next to a table of plate solutions.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...models.raw.bayer import parse_pattern
from ..data.archives import open_zip, read_csv_rows, read_member, read_number
from ..data.errors import DataError
from .raw_sky import RawSky, raw_sky

TABLE = "plate_solutions.csv"
TARGET_RADIUS = 170
"""Radius in pixels around a target that is not sky: more than the D25 of M 94 at 2.4 arcseconds a pixel."""

NO_GALAXIES = ("NGC7023",)
"""Targets that are not galaxies, so that their complete frames may be used as skies."""


@dataclass(frozen=True)
class RawFrame:
    """A raw exposure.

    Attributes:
        file, target: names; mosaic: (H, W) uint16; pattern: of its first 2 x 2 pixels, None for mono.
        x, y: position of the target, in pixels of the mosaic.
    """

    file: str
    target: str
    mosaic: np.ndarray
    pattern: str | None
    x: float
    y: float

    def sky(self) -> RawSky:
        """Return the frame's sky in linear light, with the target covered.

        Targets in `NO_GALAXIES` are not covered.
        """
        targets = [] if self.target in NO_GALAXIES else [(self.x, self.y, TARGET_RADIUS)]
        return raw_sky(self.mosaic, self.pattern, targets)


def read_raw_frames(folder: Path) -> Iterator[RawFrame]:
    """Read the frames of a folder in the order of its table.

    Args:
        folder: with a table named `TABLE`, and its frames as files or in zips.

    Raises:
        DataError: there is no table, it lacks a column or a number, or a frame is missing or cannot be read.
    """
    try:
        rows = read_csv_rows(folder / TABLE, ("file", "object", "target_x", "target_y"))
    except FileNotFoundError:
        raise DataError(f"{folder} has no {TABLE}: name a folder of raw frames with plate solutions") from None
    inside: dict[str, Path] = {}
    for packed in sorted(folder.glob("*.zip")):
        inside |= dict.fromkeys(open_zip(packed).namelist(), packed)
    for row in rows:
        name = row["file"]
        if name in inside:
            content = read_member(inside[name], name)
        elif (folder / name).is_file():
            content = (folder / name).read_bytes()
        else:
            raise DataError(f"{folder} has no {name}, which its {TABLE} lists")
        data, header = _read(content, name)
        pattern = (
            parse_pattern(
                str(header["BAYERPAT"]),
                int(header.get("XBAYROFF", 0)),
                int(header.get("YBAYROFF", 0)),
                str(header.get("ROWORDER", "")).upper() == "BOTTOM-UP",
                data.shape[0],
            )
            if "BAYERPAT" in header
            else None
        )
        yield RawFrame(name, row["object"], data, pattern, read_number(row, "target_x"), read_number(row, "target_y"))


def _read(content: bytes, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Read the first image of a FITS file: (H, W) and its keywords."""
    from astropy.io import fits

    try:
        with fits.open(io.BytesIO(content), memmap=False) as units:
            return np.ascontiguousarray(units[0].data), dict(units[0].header)
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{name} cannot be read as FITS: {error}") from None


TRAIN_SHARE, VALIDATION_SHARE, MIN_TRAIN_FRAMES = 0.2, 0.15, 2
"""Shares of a target's frames, in order of time, whose skies are used for training and for validation."""


def parted(frames: Sequence[RawFrame]) -> tuple[list[RawFrame], list[RawFrame], list[RawFrame]]:
    """Divide frames by time into training, validation and test parts.

    The frames of each target are divided separately, in the given order.
    """
    shares: tuple[list[RawFrame], list[RawFrame], list[RawFrame]] = ([], [], [])
    for target in dict.fromkeys(frame.target for frame in frames):
        target_frames = [frame for frame in frames if frame.target == target]
        first = max(MIN_TRAIN_FRAMES, int(TRAIN_SHARE * len(target_frames)))
        second = first + int(VALIDATION_SHARE * len(target_frames))
        for share, chosen in zip(
            shares, (target_frames[:first], target_frames[first:second], target_frames[second:]), strict=True
        ):
            share.extend(chosen)
    return shares
