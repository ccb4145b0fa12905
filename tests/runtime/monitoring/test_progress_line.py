"""The progress of a run without a terminal, by a clock that the test sets."""

from galaxy_edge.runtime.monitoring.progress_line import StatusLine
from galaxy_edge.runtime.monitoring.run_stats import RunStats
from helpers.tracks import frame, named, record


def test_one_line_a_minute(caplog):
    """A service runs for weeks.

    A line every few seconds would bury the warnings in its journal.
    """
    now = [1000.0]
    stats = RunStats()
    with StatusLine(clock=lambda: now[0]) as line:
        for number in range(181):  # one frame a second, for three minutes
            stats.frames, stats.seconds = number + 1, number + 1.0
            line.update(frame(number), named(), record(number), stats)
            now[0] += 1.0
    assert caplog.messages == [f"{count} frames, 0 galaxies, 1.0 frames/s" for count in (61, 121, 181)]
    assert {log.levelname for log in caplog.records} == {"INFO"}
