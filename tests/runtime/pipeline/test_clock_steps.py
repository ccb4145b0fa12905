"""A clock that is set during a run.

A board without a battery starts in 1970, and minutes later NTP sets it.
"""

import datetime
from types import SimpleNamespace

import numpy as np
import pytest
from galaxy_edge.runtime.events.event import RunInfo, events_from_tracks
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.monitoring.run_stats import RunStats
from galaxy_edge.runtime.pipeline.reporter import Reporter
from galaxy_edge.runtime.pipeline.tasks import FrameTask
from galaxy_edge.runtime.recording.pending import PendingRows, WriterLimits
from galaxy_edge.runtime.system.utc_time import ClockSteps
from galaxy_edge.runtime.tracking.tracker import Tracker
from helpers.schema import FRAME_SCHEMA
from helpers.tracks import CLASSES, output, rows, track, until

YEAR_1970 = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
EVENING = datetime.datetime(2026, 11, 20, 21, tzinfo=datetime.UTC)


class Machine:
    """A machine whose clock can be set, with a run that writes to a folder."""

    def __init__(self, folder, now=YEAR_1970):
        self.wall, self.steady, self.number = now.timestamp(), 0.0, 0
        self.lines = []
        self.output = output(folder)
        steps = ClockSteps(lambda: self.wall, lambda: self.steady)
        networks = SimpleNamespace(classes=CLASSES, abstain_below=None)
        self.reporter = Reporter(Tracker(True), networks, self.output, self._line, RunStats(), clock_steps=steps)

    def frame(self, x, age=0.0, star_field=0):
        """Report a frame with an object at a position.

        The frame was read `age` seconds ago, by the clock as it was then.
        """
        time = YEAR_1970 + datetime.timedelta(seconds=self.wall - age)
        found = Detections(
            np.array([[x, 10, x + 20, 30]], np.float32), np.array([0.9], np.float32), np.array([[0.9, 0.1]], np.float32)
        )
        image = Frame(np.zeros((100, 400, 3), np.uint8), time, "sky", self.number)
        self.reporter.report(FrameTask(image, detections=found, star_field=star_field))
        self.wall, self.steady, self.number = self.wall + 10, self.steady + 10, self.number + 1

    def _line(self, frame, detections, record, stats):
        self.lines.append(record.to_dict())


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def times(folder):
    return rows(folder, "SELECT first_time, last_time FROM event ORDER BY number")


def test_a_clock_that_is_set_moves_the_times_of_all_events_of_the_run(machine, tmp_path, caplog):
    """Only objects in sight were corrected: events that had ended stayed in 1970."""
    for x in (10, 14, 18):
        machine.frame(x)
    for x in range(200, 228, 4):  # of another field: the first event ends
        machine.frame(x, star_field=1)
    until(lambda: rows(tmp_path, "SELECT state FROM event ORDER BY number") == [("ended",), ("confirmed",)])
    assert times(tmp_path)[0] == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:20.000Z")
    machine.wall += (EVENING - YEAR_1970).total_seconds()
    machine.frame(228, star_field=1)
    machine.reporter.close(0)
    assert times(tmp_path) == [
        ("2026-11-20T21:00:00.000Z", "2026-11-20T21:00:20.000Z"),
        ("2026-11-20T21:00:30.000Z", "2026-11-20T21:01:40.000Z"),
    ]
    assert [message for message in caplog.messages if "the clock was set by" in message] == [
        "the clock was set by +1795208400 s; the times of this run's events are corrected"
    ]
    steps = [line.get("clock_step") for line in machine.lines]
    assert steps == [None] * 10 + [1795208400.0] and "clock_step" in FRAME_SCHEMA["properties"]


def test_a_clock_that_is_set_back_an_hour(tmp_path):
    """Steps of seconds are corrected too, in either direction."""
    machine = Machine(tmp_path, EVENING)
    for x in (10, 14, 18):
        machine.frame(x)
    machine.wall -= 3600
    machine.frame(22)
    machine.wall += 3
    machine.frame(26)
    machine.reporter.close(0)
    assert times(tmp_path) == [("2026-11-20T20:00:03.000Z", "2026-11-20T20:00:43.000Z")]


def test_a_frame_that_was_read_before_the_clock_was_set_and_is_processed_after_it(machine, tmp_path):
    """Frames wait in the pipeline: an object that began in one of them began in 1970."""
    step = (EVENING - YEAR_1970).total_seconds()
    machine.frame(10)
    machine.wall += step
    machine.frame(200, age=step)  # a new object in a frame of before
    for x in (204, 208, 212):
        machine.frame(x)
    machine.reporter.close(0)
    assert times(tmp_path) == [("2026-11-20T21:00:10.000Z", "2026-11-20T21:00:40.000Z")]


def test_events_that_wait_or_could_not_be_written_move_once():
    """A batch that the disk refused comes back with the times of before."""
    queue = PendingRows(WriterLimits())
    run = RunInfo(1, "0123abcd", CLASSES)
    queue.add_events(events_from_tracks([track(1, 1)], run))
    refused = queue.take_batch()
    queue.add_events(events_from_tracks([track(2, 2)], run))
    queue.move_times(3600)
    queue.put_back(refused)
    batch = queue.take_batch()
    assert batch.clock_offset == 3600
    assert [event.first_time for event in batch.events.values()] == [
        "2026-11-22T22:00:01.000Z",
        "2026-11-22T22:00:02.000Z",
    ]
