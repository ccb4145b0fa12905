"""Metrics of a run for Prometheus, in base units."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from ... import __version__
from ..monitoring.health import COUNTS, PAUSED, RUNNING, RunMonitor


class RunCollector(Collector):
    """Convert a run's statistics to metrics at each scrape."""

    def __init__(self, monitor: RunMonitor, failed_logins: int) -> None:
        self._monitor, self._failed_logins = monitor, failed_logins

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        stats = self._monitor.stats()
        for name, text in (
            ("frames", "Frames processed."), ("detections", "Galaxies detected in frames."),
            ("events", "Objects that were confirmed."),
            *((name, f"Frames or sources that were {name}.") for name in COUNTS),
            ("images_lost", "Images that could not be written, crops included."),
            ("lines_lost", "Lines of the frame log that could not be written."),
        ):  # fmt: skip
            yield CounterMetricFamily(f"galaxy_edge_{name}", text, value=stats[name])
        yield CounterMetricFamily("galaxy_edge_failed_logins", "Wrong tokens given.", value=self._failed_logins)
        stages = SummaryMetricFamily("galaxy_edge_stage_seconds", "Time of a frame in each stage.", labels=["stage"])
        for stage, (count, seconds) in self._monitor.totals().items():
            stages.add_metric([stage], count, seconds)
        yield stages
        up = stats["state"] in (RUNNING, PAUSED)
        for name, text, value in (
            ("up", "1 while frames arrive and are written, or the run is paused.", float(up)),
            ("frames_per_second", "Frame rate over the last ten seconds.", stats["frames_per_second"]),
            ("uptime_seconds", "Time since the run started.", stats["uptime_seconds"]),
            ("memory_bytes", "Resident memory.", stats["memory_bytes"]),
            ("open_files", "Open file descriptors.", _open_files()),
            ("evidence_bytes", "Size of crops, images and logs in the output folder.", stats["evidence_bytes"]),
            ("evidence_stopped", "1 while no crops can be written.", float(bool(stats["evidence_stopped"]))),
            ("events_lost", "Events that could not be written.", stats["events_lost"]),
            ("events_waiting", "Events that are not in the event file yet.", stats["events_waiting"]),
            ("events_waiting_seconds", "For how long the oldest of them waits.", stats["events_waiting_seconds"]),
            ("temperature_celsius", "Processor temperature.", stats["temperature"]),
            (
                "limiting_magnitude",
                "Magnitude of a star of 5 sigma in the last solved frame.",
                stats["limiting_magnitude"],
            ),
            ("star_fwhm_arcseconds", "Width of its stars.", stats["star_fwhm"]),
            ("star_elongation_ratio", "Longer over shorter axis of its stars.", stats["star_elongation"]),
            ("sky_brightness_magnitude", "Brightness of its sky per square arcsecond.", stats["sky_brightness"]),
            ("transparency_ratio", "Share of starlight, relative to the best frame of the run.", stats["transparency"]),
            ("galaxies_expected", "Catalogued galaxies that should be detected in it.", stats["galaxies_expected"]),
            ("galaxies_found", "How many of these are detected.", stats["galaxies_found"]),
            ("time_seconds", "Time of this answer since 1970.", time.time()),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"galaxy_edge_{name}", text, value=value)
        info = GaugeMetricFamily("galaxy_edge_build_info", "Version of galaxy-edge.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info


def metrics_text(monitor: RunMonitor, failed_logins: int = 0) -> bytes:
    """Return the metrics in the text format of Prometheus.

    `failed_logins` is counted by the page's token.
    """
    registry = CollectorRegistry()
    registry.register(RunCollector(monitor, failed_logins))
    return generate_latest(registry)


def _open_files() -> float | None:
    try:
        return float(sum(1 for _ in Path("/proc/self/fd").iterdir()))
    except OSError:
        return None
