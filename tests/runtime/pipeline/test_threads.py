"""The threaded pipeline.

The same results as a serial loop, in order, and a clean end in every case.
"""

import threading
import time

import pytest
from galaxy_edge.runtime.errors import RunFailure
from galaxy_edge.runtime.pipeline import threads
from galaxy_edge.runtime.pipeline.loop import run_loop
from galaxy_edge.runtime.pipeline.stages import FrameProcessor, ViewOptions
from helpers.pipeline import RecordingSink, Sky, run_pipeline


def test_threads_give_the_results_of_a_serial_loop_in_order(detector, classifier):
    """Overlap may change the time a run takes, and nothing else."""
    serial, threaded = RecordingSink(), RecordingSink()
    run_pipeline(Sky(20), detector, classifier, serial, overlap=False)
    stats, left = run_pipeline(Sky(20), detector, classifier, threaded)
    assert threaded.records == serial.records and threaded.tracks == serial.tracks
    assert [record["frame"] for record in serial.records] == list(range(20))
    assert any(record["detections"] for record in serial.records)
    assert threaded.threads == {threading.current_thread()}  # the one thread that a sink may rely on
    assert not left and stats.dropped == 0 and stats.stages["detect"]["count"] == 20


def test_frames_of_a_live_camera_that_come_too_late_are_dropped_and_counted(detector, classifier):
    """A camera is faster than a small computer.

    The newest frame counts, and nothing is lost unnoticed.
    """
    sink = RecordingSink()
    stats, _ = run_pipeline(Sky(40, live=True), detector, classifier, sink, on_frame=lambda *_: time.sleep(0.01))
    numbers = [record["frame"] for record in sink.records]
    assert stats.dropped > 0 and stats.frames + stats.dropped == 40
    assert numbers == sorted(set(numbers)) and numbers[-1] == 39  # in order, and the newest is never dropped


def test_max_frames_counts_the_processed_frames_of_a_live_camera(detector, classifier):
    """More frames are read than processed, so the limit must not apply to the reader."""
    stats, _ = run_pipeline(Sky(40, live=True), detector, classifier, RecordingSink(), max_frames=3)
    assert stats.frames == 3 and not stats.stopped


@pytest.mark.parametrize("overlap", [True, False])
def test_no_frame_of_a_file_is_read_beyond_max_frames(detector, classifier, overlap):
    """Reading ahead would decode unwanted images and could report one as damaged."""
    read = []

    class Counting(Sky):
        def __iter__(self):
            for frame in super().__iter__():
                read.append(frame.number)
                yield frame

    stats, _ = run_pipeline(Counting(20), detector, classifier, RecordingSink(), max_frames=3, overlap=overlap)
    assert stats.frames == 3 and read == [0, 1, 2]


def test_the_number_of_frames_in_flight_is_limited(detector, classifier, monkeypatch):
    """A 4K frame has 25 MB: a slow stage must not let them pile up before it."""
    monkeypatch.setattr(threads, "max_in_flight", lambda: 3)
    taken, in_flight = [0], []

    class Counted(Sky):
        def __iter__(self):
            for frame in super().__iter__():
                taken[0] += 1
                yield frame

    class Slow(RecordingSink):
        def frame(self, frame, detections, record):
            time.sleep(0.05)
            in_flight.append(taken[0] - len(self.records))
            super().frame(frame, detections, record)

    run_pipeline(Counted(8), detector, classifier, Slow())
    assert len(in_flight) == 8 and max(in_flight) == 3


def test_a_camera_that_fails_leaves_its_frames_written(detector, classifier):
    """The reader's error must reach the caller after the frames that came before it."""

    def fail():
        raise RunFailure("the camera stopped delivering")

    source, sink = Sky(4, after=fail), RecordingSink()
    stats, left = run_pipeline(source, detector, classifier, sink)
    assert str(stats.failure) == "the camera stopped delivering" and stats.frames == 4
    assert source.is_released and not left


@pytest.mark.parametrize("method", ["preprocess", "infer", "decode"])
def test_an_error_in_a_stage_is_raised_where_the_run_was_started(own_detector, classifier, method, monkeypatch):
    """An error in a thread must neither hang the run nor be lost."""
    calls, original = [], getattr(own_detector, method)

    def fail(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise ZeroDivisionError("a bug")
        return original(*arguments)

    monkeypatch.setattr(own_detector, method, fail)
    source, sink = Sky(20), RecordingSink()
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run_loop(source, FrameProcessor(own_detector, classifier, True, ViewOptions()), sink)
    assert sink.closed == len(sink.records) == 3  # what was done before it is written
    assert source.is_released and threading.active_count() == before


def test_a_sink_that_fails_ends_the_run(detector, classifier):
    """The caller's thread fails while all others still work."""
    sink, source = RecordingSink(fail_at=3), Sky(100)
    stats, left = run_pipeline(source, detector, classifier, sink)
    assert str(stats.failure) == "the disk is full" and stats.frames == 3
    assert source.is_released and not left


def test_a_camera_that_never_delivers_does_not_delay_the_end(detector, classifier, monkeypatch):
    """A native read cannot be interrupted, so the thread is left behind.

    As a daemon it does not keep the process.
    """
    monkeypatch.setattr(threads, "PARTING_SECONDS", 0.1)
    forever, sink = threading.Event(), RecordingSink()
    stats, left = run_pipeline(
        Sky(2, after=forever.wait), detector, classifier, sink, should_stop=lambda: len(sink.records) == 2
    )
    assert stats.stopped and stats.frames == 2
    assert [thread.name for thread in left] == ["read"] and left[0].daemon
    forever.set()
    left[0].join(10)
    assert not left[0].is_alive()


class Hanging:
    """An engine whose first `times` calls hang until `released` is set."""

    def __init__(self, engine, times):
        self.engine, self.times, self.released = engine, times, threading.Event()

    def __call__(self, batch):
        if self.times:
            self.times -= 1
            self.released.wait()
        return self.engine(batch)


@pytest.mark.parametrize("times", [1, 2])
def test_an_inference_that_hangs_costs_only_its_frame(own_detector, classifier, monkeypatch, times):
    """A driver that hangs once must not end the night.

    A late result of an abandoned thread is dropped.
    """
    monkeypatch.setattr(threads, "HANG_SECONDS", 0.5)
    own_detector.engine = hanging = Hanging(own_detector.engine, times)
    monkeypatch.setattr(own_detector, "reload_engine", lambda: None)  # the new engine is the same, and hangs as often
    sink = RecordingSink()
    stats, left = run_pipeline(Sky(6), own_detector, classifier, sink)
    hanging.released.set()
    for thread in left:
        thread.join(10)
    assert stats.hung == len(left) == times and stats.failure is None
    assert [record["frame"] for record in sink.records] == list(range(times, 6))


def test_an_engine_that_hangs_is_replaced(own_detector, classifier, monkeypatch):
    """The state of an interpreter that hangs is unknown, so it is not used again."""
    monkeypatch.setattr(threads, "HANG_SECONDS", 0.5)
    own_detector.engine = hanging = Hanging(own_detector.engine, 99)
    stats, _ = run_pipeline(Sky(3), own_detector, classifier, RecordingSink())
    hanging.released.set()
    assert stats.hung == 1 and stats.frames == 2 and own_detector.engine is not hanging


def test_inferences_that_keep_hanging_end_the_run(own_detector, classifier, monkeypatch):
    """A service manager can then restart the process; an engine cannot do that."""
    monkeypatch.setattr(threads, "HANG_SECONDS", 0.3)
    monkeypatch.setattr(threads, "PARTING_SECONDS", 0.1)
    own_detector.engine = hanging = Hanging(own_detector.engine, 99)
    monkeypatch.setattr(own_detector, "reload_engine", lambda: None)
    stats, _ = run_pipeline(Sky(9), own_detector, classifier, RecordingSink())
    hanging.released.set()
    assert "the stage detect hung 3 times in a row" in str(stats.failure) and stats.hung == 3
