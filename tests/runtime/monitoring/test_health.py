"""The health of a run, by a clock that the test sets."""

import numpy as np
from galaxy_edge.runtime.monitoring.health import RunMonitor
from galaxy_edge.runtime.monitoring.run_stats import RunStats
from helpers.tracks import frame, named, record, track


class Clock:
    """Seconds that advance on request."""

    now = 1000.0

    def __call__(self):
        return self.now


def beat(monitor, clock, count, every, ms=5.0):
    for number in range(count):
        clock.now += every
        monitor.frame(frame(number), named(), record(number))
        if monitor.run_stats:
            monitor.run_stats.clock.add({"detect": ms, "write": 1.0})


def test_states_follow_the_frames():
    clock, paused = Clock(), []
    monitor = RunMonitor(20.0, paused=lambda: bool(paused), clock=clock)
    assert monitor.state() == "starting"
    clock.now += 21
    assert monitor.state() == "stalled", "a camera that never delivered is a fault as well"
    beat(monitor, clock, 1, 0.0)
    assert monitor.state() == "running"
    clock.now += 21
    assert monitor.state() == "stalled"
    paused.append(True)
    assert monitor.state() == "stalled", "a pause does not hide a camera that is dead"
    beat(monitor, clock, 1, 0.0)
    assert monitor.state() == "paused"
    monitor.close(1, 0)
    assert monitor.state() == "ended"


def test_the_rate_of_fast_and_of_slow_cameras():
    clock = Clock()
    monitor = RunMonitor(clock=clock)
    assert monitor.rate() == 0
    beat(monitor, clock, 200, 0.1)
    assert abs(monitor.rate() - 10) < 0.2
    beat(monitor, clock, 3, 30.0)  # exposures of half a minute
    assert abs(monitor.rate() - 1 / 30) < 0.002
    clock.now += 3000
    assert monitor.rate() < 0.001, "nothing came since"


def test_figures_and_history(tmp_path):
    (tmp_path / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").write_text("48312")
    clock = Clock()
    monitor = RunMonitor(root=tmp_path, clock=clock)
    assert monitor.stages() == monitor.totals() == {}
    monitor.run_stats = RunStats()
    unsure = track(3)
    unsure.confirmed = False
    monitor.events([track(1), unsure])
    monitor.events([track(1, ended=True), track(2)])
    beat(monitor, clock, 100, 0.5, ms=4.0)
    beat(monitor, clock, 100, 0.5, ms=8.0)
    stats = monitor.stats()
    assert (stats["frames"], stats["detections"], stats["events"], stats["temperature"]) == (200, 200, 2, 48.312)
    assert stats["stages"] == {"detect": 8.0, "write": 1.0}  # the median of the last frames
    count, seconds = monitor.totals()["detect"]
    assert count == 200 and np.isclose(seconds, 1.2)
    history = monitor.history()
    assert (
        len(history) == 100
        and history[10]["stages"] == {"detect": 4.0, "write": 1.0}
        and history[-1]["temperature"] == 48.312
    )
    assert stats["memory_bytes"] > 1e7 and stats["evidence_stopped"] == ""
