"""A clock that is set during a run."""

import datetime

import numpy as np
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.system.utc_time import ClockSteps
from galaxy_edge.runtime.tracking.tracker import Tracker


def test_a_clock_that_is_set_moves_the_beginnings_of_what_is_in_sight(caplog):
    """A board without a battery starts in 1970; minutes later NTP sets its clock."""
    seconds = [0.0, 0.0]  # wall, steady
    tracker = Tracker(True, ClockSteps(lambda: seconds[0], lambda: seconds[1]))
    year_1970 = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

    def update(number):
        now = year_1970 + datetime.timedelta(seconds=seconds[0])
        x = 10 + 4 * number
        found = Detections(
            np.array([[x, 10, x + 20, 30]], np.float32), np.array([0.9], np.float32), np.array([[0.9, 0.1]], np.float32)
        )
        changed = tracker.update(Frame(np.zeros((100, 100, 3), np.uint8), now, "sky", number), found)
        seconds[0], seconds[1] = seconds[0] + 10, seconds[1] + 10
        return changed

    (track,) = update(0)
    for number in (1, 2):
        update(number)
    step = (datetime.datetime(2026, 11, 20, 21, tzinfo=datetime.UTC) - year_1970).total_seconds()
    seconds[0] += step
    assert update(3) == [track], "its event is written again"
    assert track.first == (0, "2026-11-20T21:00:00.000Z") and track.last == (3, "2026-11-20T21:00:30.000Z")
    assert len(caplog.messages) == 1 and "the clock was set by" in caplog.messages[0]
    seconds[0] -= 3600
    update(4)
    assert track.first[1] == "2026-11-20T20:00:00.000Z" and track.state == "confirmed"
