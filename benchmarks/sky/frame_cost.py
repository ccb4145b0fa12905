"""Count the instructions that positions on the sky cost a frame.

``python -m galaxy_edge.benchmarks.sky.frame_cost FRAME.fit… --out FILE.json``

A run over the frames, decoded beforehand, is counted by valgrind's cachegrind, with solving and without, for two
numbers of frames: the difference is that of further frames, without the start and the solve.
The position follows the stars' motion, detections are named, and the depth is measured once in 40 frames.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

from ...errors import UsageError
from ...runtime.frame import Frame
from ...runtime.run_config import RunConfig, SkyConfig
from ...runtime.session import Session
from ...runtime.sources.open_source import open_source

FEW, MANY = 4, 44
"""Numbers of frames of the two runs whose difference is counted: the depth is measured once between them."""
NOT_IN_VALGRIND = "AVX2,FP16,AVX,FMA3,AVX512_SKX,AVX_512F"
"""Instructions of the processor that OpenCV must not use, as valgrind does not know all of them."""
SECONDS = 10
"""Between frames: the exposures of a small telescope."""


class RepeatedFrames:
    """Frames from memory, as a camera that shows one field delivers them."""

    name, continuous, live, bad, reopened = "frames", True, False, 0, 0

    def __init__(self, folder: Path, length: int) -> None:
        self.length: int | None = length
        self._frames = list(islice(open_source(str(folder), sequence=True), 4))

    def __iter__(self) -> Iterator[Frame]:
        start = self._frames[0].time
        for number, frame in enumerate(islice(cycle(self._frames), self.length)):
            time = start + datetime.timedelta(seconds=SECONDS * number)
            yield dataclasses.replace(frame, number=number, time=time)


def run_guest(folder: Path, solve: bool, frames: int) -> None:
    """Run over frames; without output."""
    solved = 0

    def take(frame: Frame, *_: object) -> None:
        nonlocal solved
        solved += frame.wcs is not None

    with tempfile.TemporaryDirectory() as out:
        config = RunConfig(
            source=str(folder), out=Path(out), gate=0.0, overlap=False, video=False, threads=1,
            sky=SkyConfig(solve=solve, interval=1e6),
        )  # fmt: skip
        Session(config, source=RepeatedFrames(folder, frames)).run(take)
    print(f"solved {solved}")


def count(folder: Path, solve: bool, frames: int) -> tuple[int, int]:
    """Return the instructions of a run, and how many of its frames had a position."""
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", sys.executable]
    command += ["-m", f"{__spec__.name}", "--guest", str(folder), str(int(solve)), str(frames)]
    environment = {**os.environ, "OPENCV_CPU_DISABLE": NOT_IN_VALGRIND}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    instructions = re.search(r"I\s+refs:\s+([\d,]+)", result.stderr)
    solved = re.search(r"solved (\d+)", result.stdout)
    if not (instructions and solved):
        raise UsageError(f"the run under valgrind failed: {result.stderr[-400:]}")
    return int(instructions[1].replace(",", "")), int(solved[1])


def measure(frames: Sequence[Path]) -> dict[str, float]:
    """Return millions of instructions a frame with and without positions."""
    with tempfile.TemporaryDirectory() as folder:
        for path in frames:
            (Path(folder) / path.name).symlink_to(path.absolute())
        cost = {}
        for solve in (False, True):
            (few, _), (many, solved) = (count(Path(folder), solve, number) for number in (FEW, MANY))
            cost[solve] = (many - few) / (MANY - FEW) / 1e6
    return {
        "without": round(cost[False], 2), "with": round(cost[True], 2), "solved": solved,
        "share": round(cost[True] / cost[False] - 1, 4),
    }  # fmt: skip


def main() -> None:
    """Count, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frame", type=Path, nargs="*", help="raw frames of one field")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--guest", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.guest:
        folder, solve, number = options.guest
        run_guest(Path(folder), solve == "1", int(number))
        return
    result = measure(options.frame)
    text = json.dumps({"unit": "million instructions a frame"} | result, indent=2) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
