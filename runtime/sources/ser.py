"""SER, the video format of planetary cameras.

Its frames have 8 or 16 bits and are grey, colour or a Bayer mosaic.

Not read by FFmpeg, which swaps the bytes of 16-bit frames, nor by OpenCV, which keeps 8 bits of them. Format:
Grischa Hahn and Heiko Wilkens, "SER format description version 3", 2014.
"""

from __future__ import annotations

import datetime
import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ...errors import UsageError
from ...models.images.development import Development
from ...models.images.headers import ImageHeader
from ..errors import RunFailure
from ..frame import Frame
from ..system.address import printable_name
from ..system.buffer_pool import FrameBufferPool
from .image_frame import developed_frame
from .video import describe_missing_frames

HEADER = struct.Struct("<14s7i40s40s40s2q")
"""Signature; LuID, colour, byte order, width, height, bits, frames; observer, instrument, telescope; two times."""
GREY, RGB, BGR = 0, 100, 101
PATTERNS = {8: "RGGB", 9: "GRBG", 10: "GBRG", 11: "BGGR"}
"""Colour ids of Bayer mosaics."""
TO_RGB = {
    GREY: cv2.COLOR_GRAY2RGB, BGR: cv2.COLOR_BGR2RGB, 8: cv2.COLOR_BayerRGGB2RGB, 9: cv2.COLOR_BayerGRBG2RGB,
    10: cv2.COLOR_BayerGBRG2RGB, 11: cv2.COLOR_BayerBGGR2RGB,
}  # fmt: skip
RATE = 25.0
"""Frames per second if the file does not give their times."""
YEAR_ONE = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)
DAY_TICKS = 86400 * 10**7
MIN_TICKS, MAX_TICKS = DAY_TICKS * 726_467, DAY_TICKS * 766_644
"""The years 1990 and 2100, in units of 100 ns since the year one; other times are of a clock that was not set."""

logger = logging.getLogger(__name__)


class SerSource:
    """Frames of a SER file, at the times of its trailer.

    Without a trailer, times count from that of the header or of the opening.

    Frames that are missing at the end are logged as a warning.

    Args:
        path: the file.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise. Frames of 8 bits
            keep their levels, and their mosaics are debayered to full size.

    Raises:
        ImageError: its frames are too small or too large.
        UsageError: it is not a SER file, of an unknown kind, or holds no complete frame.
    """

    continuous = True
    live = False
    reopened = 0

    def __init__(self, path: Path, development: Development | None = None) -> None:
        self.name = printable_name(str(path))
        self.bad = 0
        self._path = path
        self._development = development
        with path.open("rb") as stream:
            header = stream.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(b"LUCAM-RECORDER"):
            raise UsageError(f"'{path}' is not a SER video, or its header is damaged")
        _, _, self._colour, _, width, height, bits, stated, *_, began = HEADER.unpack(header)
        if self._colour not in (RGB, *TO_RGB) or not 1 <= bits <= 16:
            raise UsageError(f"'{path}' is a SER video of colours {self._colour} and {bits} bits, which cannot be read")
        depth = (1 if bits <= 8 else 2) * (3 if self._colour in (RGB, BGR) else 1)
        ImageHeader(width, height, depth, 0 if bits <= 8 else depth).check(0, path.name)
        self._shape = (height, width, 3) if self._colour in (RGB, BGR) else (height, width)
        self._type = np.dtype("u1" if bits <= 8 else "<u2")
        self._bytes = int(np.prod(self._shape)) * self._type.itemsize
        available = (path.stat().st_size - HEADER.size) // self._bytes
        if available == 0:
            raise UsageError(f"'{path}' holds no complete frame; it is damaged or truncated")
        self.length: int | None = self._count(stated, path.stat().st_size - HEADER.size)
        self._header_ticks = began

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order."""
        assert self.length is not None
        number, buffers = 0, FrameBufferPool()
        began = datetime.datetime.now(datetime.UTC)
        if MIN_TICKS <= self._header_ticks < MAX_TICKS:
            began = YEAR_ONE + datetime.timedelta(microseconds=self._header_ticks // 10)
        try:
            with self._path.open("rb") as stream:
                ticks = self._ticks(stream)
                stream.seek(HEADER.size)
                order = None
                while number < self.length and len(content := stream.read(self._bytes)) == self._bytes:
                    values = np.frombuffer(content, self._type).reshape(self._shape)
                    if values.dtype != np.uint8:
                        order = order or _byte_order(values)
                        values = values.view(order).astype(np.uint16)
                    if ticks is None:
                        time = began + datetime.timedelta(seconds=number / RATE)
                    else:
                        time = YEAR_ONE + datetime.timedelta(microseconds=int(ticks[number]) // 10)
                    frame = self._frame(values, time, number, buffers)
                    del values, content
                    yield frame
                    del frame
                    number += 1
        except OSError as error:
            raise RunFailure(f"'{self._path}' cannot be read any further: {error.strerror}") from None
        self.bad = self.length - number
        if self.bad:
            logger.warning("%s", describe_missing_frames(self._path.name, number, self.length))

    def _frame(self, values: np.ndarray, time: datetime.datetime, number: int, buffers: FrameBufferPool) -> Frame:
        if values.dtype == np.uint8:
            pixels = buffers.acquire((*values.shape[:2], 3))
            if self._colour == RGB:
                np.copyto(pixels, values)
            else:
                cv2.cvtColor(values, TO_RGB[self._colour], dst=pixels)
            return Frame(pixels, time, printable_name(self._path.name), number)
        if self._colour == BGR:
            values = cv2.cvtColor(values, TO_RGB[BGR])
        cfa = PATTERNS.get(self._colour)
        return developed_frame(values, cfa, self._development, time, printable_name(self._path.name), number)

    def _count(self, stated: int, size: int) -> int:
        """Return the number of frames.

        If `size` bytes hold more than stated, the recorder was killed. If they hold fewer, each with its time, the
        header is wrong; otherwise, the file was cut off.

        What follows the stated frames may be their times, 8 bytes each, complete or cut off.
        """
        available, spare = size // self._bytes, size - stated * self._bytes
        with_times, rest = divmod(size, self._bytes + 8)
        has_too_few = spare < 0 and rest == 0
        has_part_of_times = spare < 8 * stated and spare % self._bytes
        if stated > 0 and not has_too_few and (spare < self._bytes or spare == 8 * stated or has_part_of_times):
            return stated
        return with_times if rest == 0 else available

    def _ticks(self, stream: BinaryIO) -> np.ndarray | None:
        """Read the time of each frame from the trailer.

        None where it is missing or invalid.
        """
        assert self.length is not None
        size = 8 * self.length
        if stream.seek(0, os.SEEK_END) < (start := HEADER.size + self.length * self._bytes) + size:
            return None
        stream.seek(start)
        ticks = np.frombuffer(stream.read(size), "<i8")
        return ticks if ticks.min() >= MIN_TICKS and ticks.max() < MAX_TICKS else None


def _byte_order(values: np.ndarray) -> str:
    """Return the byte order of 16-bit values: the one with smoother neighbours.

    In the right order, neighbouring values of a frame differ less.

    The header gives it too, but programs disagree on the meaning of its flag.
    """

    def roughness(order: str) -> float:
        levels = values.view(order).astype(np.float32)
        return float(np.abs(levels[:, 2:] - levels[:, :-2]).sum())  # two apart: the same colour of a mosaic

    return "<u2" if roughness("<u2") <= roughness(">u2") else ">u2"
