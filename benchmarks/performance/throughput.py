"""Measure what the loop costs in addition to the networks.

Overhead, overlap, empty sky, memory and start-up.

``python -m galaxy_edge.benchmarks.performance.throughput --out benchmarks/reference/throughput-NAME.json``

Variants that are compared take turns in one process, so that other load affects both equally; the relevant results are
the ratios of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...devices.probe import probe
from ...models.bundle import Bundle, shipped_bundle_path
from ...models.decode import anchors_from_manifest
from ...runtime.inference.classifier import Classifier
from ...runtime.inference.detector import Detector, ModelInput
from ...runtime.inference.engine import Engine, RawTensor
from ...runtime.monitoring.run_stats import RunStats
from ...runtime.pipeline.threads import core_count, decoder_threads
from ...runtime.session import RunConfig, Session
from ...runtime.sources.source import Source
from ...runtime.system.utc_time import utc_now
from .command import measure_command
from .synthetic_sources import InMemory, jpegs

SIZES = ((640, 480), (1920, 1080), (3840, 2160))
GROUPS = (
    ("read",),
    ("glance", "stack", "sky", "tiles", "preprocess"),
    ("detect",),
    ("decode", "classify"),
    ("track", "write"),
)
"""The timed stages, grouped by the thread that does them."""


class Measure:
    """The two networks with one thread per inference.

    The time spent inside the detector's engine is summed.

    Args:
        detector: the folder of a bundle; None for the shipped detector.
    """

    def __init__(self, detector: Path | None = None) -> None:
        self.detector = Detector(Bundle.load(detector or shipped_bundle_path("galaxy-detector")))
        self.classifier = Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier")))
        self.engine = self.detector.engine = _TimedEngine(self.detector.engine)

    def run(
        self, source: Source, overlap: bool = True, tiles: str = "off", gate: float = 0.0
    ) -> tuple[RunStats, float]:
        """Run over a source and write nothing.

        Return the statistics and the seconds inside the detector's engine.
        """
        self.engine.seconds = 0.0
        config = RunConfig(out=None, overlap=overlap, tiles=tiles, gate=gate)
        session = Session(config, source=source, detector=self.detector, classifier=self.classifier)
        stats = session.run()
        if stats.failure:
            raise stats.failure
        return stats, self.engine.seconds


def overhead(measure: Measure, frames: int, rounds: int) -> dict[str, Any]:
    """Compare the wall time of a frame with the time inside the detector.

    The detector runs on every frame.

    If the detector is faster than the other stages, there is overhead even with perfect overlap: the minimum that the
    cores and the slowest stage allow, by the stages' times in a serial loop, is included.

    Returns:
        By size: ``frame_ms``, ``inference_ms``, ``overhead_share`` (of the frame's time), ``least_share``.
    """
    result = {}
    for size in SIZES:
        source, walls, inside, bounds = InMemory(size, frames), [], [], []
        for _ in range(rounds):
            stats, seconds = measure.run(source)
            walls.append(stats.seconds / frames * 1e3)
            inside.append(seconds / frames * 1e3)
            groups = _by_thread(measure.run(source, overlap=False)[0])
            bounds.append(max(*groups.values(), sum(groups.values()) / core_count()))
        wall, native, bound = (float(np.median(values)) for values in (walls, inside, bounds))
        result[f"{size[0]}x{size[1]}"] = {
            "frame_ms": round(wall, 3),
            "inference_ms": round(native, 3),
            "overhead_share": round(1 - native / wall, 4),
            "least_share": round(max(0.0, 1 - native / bound), 4),
        }
    return result


def _by_thread(stats: RunStats) -> dict[str, float]:
    """Return a frame's mean milliseconds by thread, named by the last of its stages."""
    spent = {stage: seconds / stats.frames * 1e3 for stage, (_, seconds) in stats.clock.totals().items()}
    return {group[-1]: sum(spent.get(stage, 0.0) for stage in group) for group in GROUPS}


def overlap(measure: Measure, frames: int, rounds: int) -> dict[str, Any]:
    """Compare the threaded loop with the serial one.

    Both are compared with the slowest stage alone, over a folder of JPEGs.

    A stage is the work of one thread on a frame, timed in a serial loop; `decoder_threads` threads read. Even with
    perfect overlap, two cores cannot do more than twice the work of one: the rate that this allows is included.

    Returns:
        By size: ``in_turn_fps``, ``at_once_fps``, ``slowest_stage``, ``slowest_fps``, ``cores_fps`` (all stages'
        work spread evenly over the cores), and the ratios ``at_once_by_in_turn`` and ``at_once_by_slowest``.
    """
    result = {}
    for size in SIZES[:2]:
        single, several = jpegs(size, frames), jpegs(size, frames, at_once=decoder_threads())
        serial, threaded, stages = [], [], []
        for _ in range(rounds):
            stats, _ = measure.run(single, overlap=False)
            serial.append(stats.frames / stats.seconds)
            stages.append(_by_thread(stats))
            stats, _ = measure.run(several)
            threaded.append(stats.frames / stats.seconds)
        groups = {name: float(np.median([times[name] for times in stages])) for name in stages[0]}
        slowest = max(groups, key=lambda group: groups[group])
        in_turn, at_once, best = float(np.median(serial)), float(np.median(threaded)), 1e3 / groups[slowest]
        result[f"{size[0]}x{size[1]}"] = {
            "in_turn_fps": round(in_turn, 2),
            "at_once_fps": round(at_once, 2),
            "slowest_stage": slowest,
            "slowest_fps": round(best, 2),
            "cores_fps": round(core_count() * 1e3 / sum(groups.values()), 2),
            "at_once_by_in_turn": round(at_once / in_turn, 3),
            "at_once_by_slowest": round(at_once / best, 3),
            "stage_ms": {name: round(ms, 3) for name, ms in groups.items()},
        }
    return result


def empty_sky(measure: Measure, frames: int, rounds: int) -> dict[str, Any]:
    """Compare a frame of an empty sky with the full cost.

    It is processed with gate and automatic tiles; the full cost is every tile of every frame.

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
            stats, _ = measure.run(source, overlap=False, tiles="auto", gate=10)
            spared.append(stats.seconds / frames * 1e3)
            source.length = 2  # the full cost is the same for every frame
            stats, _ = measure.run(source, overlap=False, tiles=grid)
            full.append(stats.seconds / stats.frames * 1e3)
            views, source.length = stats.views // stats.frames, frames
        result[f"{size[0]}x{size[1]}"] = {
            "full_ms": round(float(np.median(full)), 2),
            "views": views,
            "spared_ms": round(float(np.median(spared)), 3),
            "ratio": round(float(np.median(spared) / np.median(full)), 5),
        }
    return result


def decoding(rounds: int, side: int = 320) -> dict[str, Any]:
    """Time decoding and suppression.

    The input has `side` pixels, and 40 anchors are above the threshold.

    Returns:
        ``anchors``, ``median_ms``, ``min_ms``.
    """
    detector = _ResizedDetector(side)
    random = np.random.default_rng(1)
    count = len(detector.anchors)
    scores = random.normal(-6.0, 1.0, count)
    scores[random.choice(count, 40, replace=False)] = random.uniform(0.5, 4.0, 40)
    raw = {
        "scores": RawTensor(np.clip(np.round(scores / 0.1), -128, 127).astype(np.int8), 0.1, 0),
        "boxes": RawTensor(random.integers(-40, 40, (count, 4)).astype(np.int8), 0.05, 0),
    }
    model_input = ModelInput(np.zeros((1, side, side, 3), np.uint8), (0.5, 0.5), 2 * side, 2 * side)
    times = [_milliseconds(lambda: detector.decode(raw, model_input)) for _ in range(rounds)]
    return {"anchors": count, "median_ms": round(float(np.median(times)), 4), "min_ms": round(min(times), 4)}


class _TimedEngine:
    """An engine that adds up the time of its calls."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.seconds = 0.0
        self._engine = engine

    def __call__(self, batch: np.ndarray) -> dict[str, RawTensor]:
        start = time.perf_counter()
        raw = self._engine(batch)
        self.seconds += time.perf_counter() - start
        return raw


class _ResizedDetector(Detector):
    """The shipped detector's decoding, for another size of input."""

    def __init__(self, side: int) -> None:
        super().__init__(Bundle.load(shipped_bundle_path("galaxy-detector")))
        anchors = self.bundle.manifest.detector_decode.anchors
        assert anchors is not None
        self._anchors = anchors_from_manifest(anchors, side, side)

    @property
    def anchors(self) -> np.ndarray:
        """(N, 4), see `anchors_from_manifest`."""
        return self._anchors


def _milliseconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    """Measure everything and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--detector", type=Path, help="folder of a bundle to measure in place of the shipped one")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    result: dict[str, Any] = {"created": utc_now(), "machine": probe().as_dict(), "cores": os.cpu_count()}
    result["command"] = measure_command(given.rounds)
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
