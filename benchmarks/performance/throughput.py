"""What the loop costs beside the networks: overhead, overlap, empty sky, memory and start-up.

``python -m galaxy_edge.benchmarks.performance.throughput --out benchmarks/reference/throughput-NAME.json``

What is compared takes turns in one process, so that a busy moment hits both alike; ratios of medians are what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...devices.probe import probe
from ...models.bundle import Bundle, shipped_bundle_path
from ...models.decode import anchors_from_manifest
from ...runtime.errors import RunFailure
from ...runtime.frame import Detections, Frame
from ...runtime.inference.classifier import Classifier
from ...runtime.inference.detector import Detector, ModelInput
from ...runtime.inference.engine import Engine, RawTensor
from ...runtime.monitoring.run_stats import RunStats
from ...runtime.pipeline.stages import ViewOptions
from ...runtime.pipeline.threads import cores, decoders, run
from ...runtime.recording.output_folder import utc_now
from ...runtime.sources.demo import DemoSource
from ...runtime.sources.source import Source
from .synthetic_sources import InMemory, jpegs

SIZES = ((640, 480), (1920, 1080), (3840, 2160))
GROUPS = (
    ("read",),
    ("glance", "stack", "tiles", "preprocess"),
    ("detect",),
    ("decode", "classify"),
    ("track", "write"),
)
"""The stages by the thread that does them."""


class Measure:
    """The networks with one thread an inference, and the time spent inside the detector's.

    Args:
        detector: the folder of a bundle; the shipped detector if None.
    """

    def __init__(self, detector: Path | None = None) -> None:
        self.detector = Detector(Bundle.load(detector or shipped_bundle_path("galaxy-detector")))
        self.classifier = Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier")))
        self.engine = self.detector.engine = _Timed(self.detector.engine)

    def run(self, source: Source, overlap: bool = True, looks: ViewOptions | None = None) -> tuple[RunStats, float]:
        """Run over a source; return the summary and the seconds inside the detector's inferences."""
        self.engine.seconds = 0.0
        summary = run(
            source,
            self.detector,
            self.classifier,
            _Nowhere(),
            lambda *_: None,
            lambda: False,
            looks=looks or ViewOptions(),
            overlap=overlap,
        )
        if summary.failure:
            raise summary.failure
        return summary, self.engine.seconds


def overhead(measure: Measure, frames: int, rounds: int) -> dict[str, Any]:
    """Compare the wall time of a frame with the time inside the detector, which runs on every frame.

    Where the detector is quicker than the rest, there is overhead however well both overlap: the least that the cores
    and the slowest stage allow, by the stages' times where no other runs, is told, too.

    Returns:
        By size: ``frame_ms``, ``inference_ms``, ``overhead_share`` (of the frame's time), ``least_share``.
    """
    result = {}
    for size in SIZES:
        source, walls, inside, bounds = InMemory(size, frames), [], [], []
        for _ in range(rounds):
            summary, seconds = measure.run(source)
            walls.append(summary.seconds / frames * 1e3)
            inside.append(seconds / frames * 1e3)
            groups = _by_thread(measure.run(source, overlap=False)[0])
            bounds.append(max(*groups.values(), sum(groups.values()) / cores()))
        wall, native, bound = (float(np.median(values)) for values in (walls, inside, bounds))
        result[f"{size[0]}x{size[1]}"] = {
            "frame_ms": round(wall, 3),
            "inference_ms": round(native, 3),
            "overhead_share": round(1 - native / wall, 4),
            "least_share": round(max(0.0, 1 - native / bound), 4),
        }
    return result


def _by_thread(summary: RunStats) -> dict[str, float]:
    """Add up a frame's mean milliseconds by the thread that spends them, named by the last of its stages."""
    spent = {stage: seconds / summary.frames * 1e3 for stage, (_, seconds) in summary.clock.totals().items()}
    return {group[-1]: sum(spent.get(stage, 0.0) for stage in group) for group in GROUPS}


def overlap(measure: Measure, frames: int, rounds: int) -> dict[str, Any]:
    """Compare the stages at once with the same loop in turn, and with the slowest stage alone, over a folder of JPEGs.

    A stage is all that one thread does to a frame, as timed where no other stage runs; `decoders` of them read. However
    well they overlap, two cores cannot do more than twice the work of one: the rate that this allows is told, too.

    Returns:
        By size: ``in_turn_fps``, ``at_once_fps``, ``slowest_stage``, ``slowest_fps``, ``cores_fps`` (all stages'
        work spread evenly over the cores), and the ratios ``at_once_by_in_turn`` and ``at_once_by_slowest``.
    """
    result = {}
    for size in SIZES[:2]:
        single, several = jpegs(size, frames), jpegs(size, frames, at_once=decoders())
        turns, onces, stages = [], [], []
        for _ in range(rounds):
            summary, _ = measure.run(single, overlap=False)
            turns.append(summary.frames / summary.seconds)
            stages.append(_by_thread(summary))
            summary, _ = measure.run(several)
            onces.append(summary.frames / summary.seconds)
        groups = {name: float(np.median([one[name] for one in stages])) for name in stages[0]}
        slowest = max(groups, key=lambda group: groups[group])
        turn, once, best = float(np.median(turns)), float(np.median(onces)), 1e3 / groups[slowest]
        result[f"{size[0]}x{size[1]}"] = {
            "in_turn_fps": round(turn, 2),
            "at_once_fps": round(once, 2),
            "slowest_stage": slowest,
            "slowest_fps": round(best, 2),
            "cores_fps": round(cores() * 1e3 / sum(groups.values()), 2),
            "at_once_by_in_turn": round(once / turn, 3),
            "at_once_by_slowest": round(once / best, 3),
            "stage_ms": {name: round(ms, 3) for name, ms in groups.items()},
        }
    return result


def empty_sky(measure: Measure, frames: int, rounds: int) -> dict[str, Any]:
    """Compare a frame of an empty sky, with gate and automatic tiles, with the full cost: every tile, every frame.

    Returns:
        By size: ``full_ms``, ``views`` of the full cost, ``spared_ms`` and ``ratio``.
    """
    side = min(measure.detector.bundle.input_size)
    result = {}
    for size in SIZES[:2]:
        source = InMemory(size, frames, still=True)
        grid = f"{round(size[0] / (0.75 * side))}x{round(size[1] / (0.75 * side))}"
        full, spared, views = [], [], 0
        for _ in range(rounds):
            summary, _ = measure.run(source, overlap=False, looks=ViewOptions("auto", gate=10))
            spared.append(summary.seconds / frames * 1e3)
            source.length = 2  # the full cost is the same every time
            summary, _ = measure.run(source, overlap=False, looks=ViewOptions(grid))
            full.append(summary.seconds / summary.frames * 1e3)
            views, source.length = summary.views // summary.frames, frames
        result[f"{size[0]}x{size[1]}"] = {
            "full_ms": round(float(np.median(full)), 2),
            "views": views,
            "spared_ms": round(float(np.median(spared)), 3),
            "ratio": round(float(np.median(spared) / np.median(full)), 5),
        }
    return result


def decoding(rounds: int, side: int = 320) -> dict[str, Any]:
    """Time decoding and suppression of doubles for an input of `side` pixels, 40 anchors being above the threshold.

    Returns:
        ``anchors``, ``median_ms``, ``min_ms``.
    """
    detector = _Resized(side)
    random = np.random.default_rng(1)
    count = len(detector.anchors)
    scores = random.normal(-6.0, 1.0, count)
    scores[random.choice(count, 40, replace=False)] = random.uniform(0.5, 4.0, 40)
    raw = {
        "scores": RawTensor(np.clip(np.round(scores / 0.1), -128, 127).astype(np.int8), 0.1, 0),
        "boxes": RawTensor(random.integers(-40, 40, (count, 4)).astype(np.int8), 0.05, 0),
    }
    fitted = ModelInput(np.zeros((1, side, side, 3), np.uint8), (0.5, 0.5), 2 * side, 2 * side)
    times = [_timed(lambda: detector.decode(raw, fitted)) for _ in range(rounds)]
    return {"anchors": count, "median_ms": round(float(np.median(times)), 4), "min_ms": round(min(times), 4)}


def command(rounds: int, frames: int = 60) -> dict[str, Any]:
    """Run the command itself over a video of 1080p with galaxies in every frame; the file cache is warm.

    Returns:
        ``peak_memory_mib`` (the greatest; ``_mb`` the same in 10^6 bytes) and ``first_detection_s`` (median, and
        ``_best_``) from the command's start.
    """
    memory, first = [], []
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "sky.avi"
        _drifting_galaxies(video, frames)
        for attempt in range(rounds + 1):
            out = Path(folder) / f"out{attempt}"
            peak, found = _run_command(["run", "--camera", video, "--out", out, "--json"], frames)
            if attempt:  # the first only warms the cache
                memory.append(peak)
                first.append(found)
    return {
        "peak_memory_mib": round(max(memory), 1),
        "peak_memory_mb": round(max(memory) * 2**20 / 1e6, 1),
        "first_detection_s": round(float(np.median(first)), 3),
        "first_detection_best_s": round(min(first), 3),
    }


def _drifting_galaxies(path: Path, frames: int) -> None:
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))
    # A galaxy in the first frame, whatever the weights: it is the time that is measured.
    skies = (cv2.resize(sky.pixels, SIZES[1]) for sky in DemoSource())
    picture = max(skies, key=lambda sky: max(detector(sky).scores, default=0.0))[..., ::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, SIZES[1])
    for number in range(frames):
        writer.write(np.ascontiguousarray(np.roll(picture, 2 * number, axis=1)))
    writer.release()


def _run_command(words: list[Any], frames: int) -> tuple[float, float]:
    """Run it to its end: peak resident memory in MiB, seconds to the first line with a detection."""
    began, found, peak = time.perf_counter(), 0.0, 0.0
    with subprocess.Popen(
        [sys.executable, "-m", __package__.split(".")[0], *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in islice(process.stdout, frames):
            if not found and json.loads(line)["detections"]:
                found = time.perf_counter() - began
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:  # the sheet is made after the last frame
            high = re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="ascii"))
            peak = max(peak, int(high[1]) / 1024 if high else 0.0)
            time.sleep(0.005)
    if not found:
        raise RunFailure("the command found no galaxy in the video, so that nothing was measured")
    return peak, found


class _Timed:
    """An engine that adds up the time of its calls."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.seconds = 0.0
        self._engine = engine

    def __call__(self, batch: np.ndarray) -> dict[str, RawTensor]:
        began = time.perf_counter()
        raw = self._engine(batch)
        self.seconds += time.perf_counter() - began
        return raw


class _Resized(Detector):
    """The shipped detector's decoding, for another size of input."""

    def __init__(self, side: int) -> None:
        super().__init__(Bundle.load(shipped_bundle_path("galaxy-detector")))
        self._anchors = anchors_from_manifest(self.bundle.manifest["decode"], side, side)

    @property
    def anchors(self) -> np.ndarray:
        """(N, 4), see `anchors_from_manifest`."""
        return self._anchors


class _Nowhere:
    """An output that keeps nothing: the loop alone is measured."""

    def frame(self, frame: Frame, named: Detections, record: dict[str, Any]) -> None:
        """Keep nothing."""

    def events(self, changed: list[Any]) -> None:
        """Keep nothing."""

    def close(self, frames: int, bad_pictures: int) -> None:
        """Close nothing."""


def _timed(work: Callable[[], Any]) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    """Measure everything and write it down."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--frames", type=int, default=100)
    options.add_argument("--detector", type=Path, help="folder of a bundle to measure in place of the shipped one")
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    result: dict[str, Any] = {"created": utc_now(), "machine": probe().as_dict(), "cores": os.cpu_count()}
    result["command"] = command(given.rounds)
    measure = Measure(given.detector)
    result["detector"] = measure.detector.bundle.hash
    measure.run(InMemory(SIZES[0], 10))  # warm
    result["overhead"] = overhead(measure, given.frames, given.rounds)
    result["overlap"] = overlap(measure, given.frames, given.rounds)
    result["empty_sky"] = empty_sky(measure, given.frames, given.rounds)
    result["decoding_320"] = decoding(100 * given.rounds)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
