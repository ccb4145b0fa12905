"""Measure the command `galaxy-edge run` itself.

Measured are peak memory and the time to the first detection.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...models.bundle import Bundle, shipped_bundle_path
from ...runtime.errors import RunFailure
from ...runtime.inference.detector import Detector
from ...runtime.sources.demo import DemoSource

SIZE = (1920, 1080)


def measure_command(rounds: int, frames: int = 60) -> dict[str, Any]:
    """Run the command over a 1080p video with galaxies in every frame.

    The file cache is warm.

    Returns:
        ``peak_memory_mib`` (the maximum; ``_mb`` the same in 10^6 bytes) and ``first_detection_s`` (median, and
        ``_best_``) from the command's start.
    """
    memory, first = [], []
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "sky.avi"
        _write_drifting_galaxies(video, frames)
        for attempt in range(rounds + 1):
            out = Path(folder) / f"out{attempt}"
            peak, seconds = _run_command(["run", "--camera", video, "--out", out, "--json"], frames)
            if attempt:  # the first only warms the cache
                memory.append(peak)
                first.append(seconds)
    return {
        "peak_memory_mib": round(max(memory), 1),
        "peak_memory_mb": round(max(memory) * 2**20 / 1e6, 1),
        "first_detection_s": round(float(np.median(first)), 3),
        "first_detection_best_s": round(min(first), 3),
    }


def _write_drifting_galaxies(path: Path, frames: int) -> None:
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))
    # The first frame must contain a galaxy that any weights detect, because the time is measured, not the detector.
    skies = (cv2.resize(sky.pixels, SIZE) for sky in DemoSource())
    image = max(skies, key=lambda sky: max(detector(sky).scores, default=0.0))[..., ::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, SIZE)
    for number in range(frames):
        writer.write(np.ascontiguousarray(np.roll(image, 2 * number, axis=1)))
    writer.release()


def _run_command(words: list[Any], frames: int) -> tuple[float, float]:
    """Run the command and measure memory and time.

    Returns peak resident memory in MiB, and seconds to the first line with a detection.
    """
    start, first, peak = time.perf_counter(), 0.0, 0.0
    with subprocess.Popen(
        [sys.executable, "-m", __package__.split(".")[0], *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in islice(process.stdout, frames):
            if not first and json.loads(line)["detections"]:
                first = time.perf_counter() - start
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:  # the contact sheet is made after the last frame
            high = re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="ascii"))
            peak = max(peak, int(high[1]) / 1024 if high else 0.0)
            time.sleep(0.005)
    if not first:
        raise RunFailure("the command found no galaxy in the video, so that nothing was measured")
    return peak, first
