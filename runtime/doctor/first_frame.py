"""The child process of the check of a source: print what its first frame is.

The request is one JSON object in stdin; each answer is a line of stdout.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from ...errors import UserError
from ..frame import Frame
from ..sources.open_source import open_source
from .source import MARK

RATE_SECONDS, RATE_FRAMES = 2.0, 100
"""For how long, and for how many frames at most, the rate of a camera is measured."""


def frame_format(frame: Frame) -> str:
    """Return how a frame's pixels are delivered, e.g. ``uint16 mosaic GRBG``."""
    if frame.raw is None:
        return "8 bits"
    layout = f"mosaic {frame.cfa}" if frame.cfa else "colour" if frame.raw.ndim == 3 else "mono"
    return f"{np.dtype(frame.raw.dtype).name} {layout}"


def main() -> None:
    """Open the source, read one frame, and measure the rate if it is live."""
    request = json.load(sys.stdin)
    began = time.monotonic()
    try:
        source = open_source(request["camera"], out=Path(request["out"]))
        with closing(cast(Any, iter(source))) as frames:
            frame = next(frames, None)
            if frame is None:
                _answer(error="it has no frame that can be read")
                return
            first = time.monotonic()
            _answer(
                size=frame.source_size, format=frame_format(frame), seconds=first - began, length=source.length
            )  # fmt: skip
            if source.live:
                _measure_rate(frames, first)
    except UserError as error:
        _answer(error=str(error))


def _measure_rate(frames: Any, first: float) -> None:
    """Print the rate since the first frame; nothing if no other frame comes."""
    for number, _ in enumerate(islice(frames, RATE_FRAMES), 1):
        elapsed = time.monotonic() - first
        if elapsed >= RATE_SECONDS or number == RATE_FRAMES:
            _answer(rate=number / elapsed)
            return


def _answer(**fields: Any) -> None:
    print(MARK + json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
