"""SER videos whose header counts too few, too many or no frames."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from .....runtime.sources.open_source import open_source
from ...attack import Attack, Outcome


def run(count: int, folder: Path) -> Outcome:
    """Check that every frame of `count` files is read once.

    The files have 3 to 12 frames and state random counts.
    """
    random = np.random.default_rng(1)
    lost = wrong = 0
    for number in range(count):
        frames = random.integers(0, 256, (int(random.integers(3, 13)), 40, 48), dtype=np.uint8)
        stated = int(random.choice([0, 1, len(frames) - 1, len(frames), len(frames) + 5, 2**31 - 1]))
        path = folder / f"{number}.ser"
        header = struct.pack("<14s7i120x2q", b"LUCAM-RECORDER", 0, 0, 0, 48, 40, 8, stated, 0, 0)
        path.write_bytes(header + frames.tobytes())
        read = [frame.pixels for frame in open_source(str(path), lambda error: None)]
        lost += len(frames) - len(read)
        wrong += sum(not np.array_equal(pixels[..., 0], frame) for pixels, frame in zip(read, frames, strict=False))
        path.unlink()
    return Outcome({"files": count, "frames_lost": lost, "frames_wrong": wrong}, not lost and not wrong)


ATTACK = Attack(
    promise="A video whose header states a wrong number of frames is read to its end.",
    method="{count} SER files whose header states no, too few or too many frames",
    run=run,
    count=1000,
    small_count=30,
)
