"""Endurance: camera disconnects, corrupt images, a long run at full speed.

``python -m galaxy_edge.benchmarks.robustness.endurance --out benchmarks/reference/endurance-NAME.json`` runs the full
counts; the tests run the same functions with small counts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...devices.probe import probe
from ...runtime.events.frame_record import FrameRecord
from ...runtime.frame import Detections, Frame
from ...runtime.monitoring.run_stats import RunStats
from ...runtime.pipeline.tasks import FrameCallback
from ...runtime.session import RunConfig, Session
from ...runtime.sources.camera import stream
from ...runtime.sources.image_files import ImageSource
from ...runtime.sources.source import Source
from ...runtime.system.utc_time import utc_now
from ..performance.synthetic_sources import InMemory, NetworkCamera, corrupt_image

DROPS, CORRUPT_IMAGES, LONG_RUN_FRAMES = 10, 10_000, 200_000
SAMPLES = 400


def camera_disconnects(drops: int, seed: int = 1) -> dict[str, Any]:
    """Disconnect a network camera `drops` times for up to a second during a run.

    Returns:
        ``drops``, ``reopened``, ``frames``, and ``worst_s`` and ``median_s``: seconds from the reconnection to the
        next processed frame.
    """
    random, camera = np.random.default_rng(seed), NetworkCamera()
    delays: list[float] = []
    reconnected, frames_since = 0.0, 0

    def watch(frame: Frame, named: Detections, record: FrameRecord, summary: RunStats) -> None:
        nonlocal reconnected, frames_since
        if reconnected and summary.reopened == len(delays) + 1:
            delays.append(time.monotonic() - reconnected)
            reconnected, frames_since = 0.0, 0
        frames_since += 1
        if not reconnected and frames_since > 3 and len(delays) < drops:
            camera.disconnect()
            time.sleep(random.uniform(0.05, 1.0))
            camera.reconnect()
            reconnected = time.monotonic()

    summary = _run(stream(camera.url), watch=watch, stop=lambda: len(delays) == drops)
    camera.disconnect()
    return {
        "drops": drops,
        "reopened": summary.reopened,
        "frames": summary.frames,
        "worst_s": round(max(delays), 3),
        "median_s": round(float(np.median(delays)), 3),
    }


def corrupt_inputs(images: int, seed: int = 1) -> dict[str, Any]:
    """Process `images` files with arbitrary content.

    Returns:
        ``pictures`` (their number), ``frames`` (readable ones) and ``bad`` (reported and skipped).
    """
    random = np.random.default_rng(seed)
    source = ImageSource("poison", [corrupt_image(number, random) for number in range(images)], lambda _: None)
    summary = _run(source)
    return {"pictures": images, "frames": summary.frames, "bad": summary.bad_pictures}


def run_long(frames: int) -> dict[str, Any]:
    """Run at full speed and sample memory and open files.

    Returns:
        ``frames``, ``seconds``; resident memory in MiB after a tenth of the run (``memory_mib``), at its end
        (``memory_end_mib``) and its slope in between (``memory_slope_kib_per_1000_frames``); open files at both.
    """
    samples: list[tuple[int, float, int]] = []
    every = max(1, frames // SAMPLES)

    def watch(frame: Frame, named: Detections, record: FrameRecord, summary: RunStats) -> None:
        if summary.frames % every == 0:
            samples.append((summary.frames, resident_mib(), len(os.listdir("/proc/self/fd"))))

    summary = _run(InMemory((640, 480), frames), watch=watch)
    settled = np.array(samples[len(samples) // 10 :])
    slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0]) if len(settled) > 1 else 0.0
    return {
        "frames": summary.frames,
        "seconds": round(summary.seconds, 1),
        "memory_mib": round(settled[0, 1], 1),
        "memory_end_mib": round(settled[-1, 1], 1),
        "memory_slope_kib_per_1000_frames": round(slope * 1024 * 1000, 3),
        "open_files": int(settled[0, 2]),
        "open_files_end": int(settled[-1, 2]),
    }


def resident_mib() -> float:
    """Return the current resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _run(source: Source, watch: FrameCallback = lambda *_: None, stop: Callable[[], bool] = lambda: False) -> RunStats:
    """Run the shipped networks on a source with a temporary output folder."""
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(out=Path(folder), video=False, gate=0, engine="litert", threads=1)
        stats = Session(config, source=source).run(watch, stop)
    if stats.failure:
        raise stats.failure
    return stats


def main() -> None:
    """Run the command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--drops", type=int, default=DROPS)
    options.add_argument("--poisoned", type=int, default=CORRUPT_IMAGES)
    options.add_argument("--soak", type=int, default=LONG_RUN_FRAMES)
    options.add_argument("--out", type=Path, required=True)
    arguments = options.parse_args()
    result: dict[str, Any] = {"machine": probe().as_dict(), "created": utc_now()}
    for name, measure, times in (
        ("pulled_out", camera_disconnects, arguments.drops),
        ("poisoned", corrupt_inputs, arguments.poisoned),
        ("soak", run_long, arguments.soak),
    ):
        if times:
            result[name] = measure(times)
            print(name, json.dumps(result[name]), flush=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
