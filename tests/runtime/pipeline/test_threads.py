"""The stages at once: the same results as a plain loop, in order, and a clean end however it comes."""

import json
import threading
import time
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.errors import RunFailure
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.monitoring.controls import Controls
from galaxy_edge.runtime.pipeline import threads as pipeline
from galaxy_edge.runtime.pipeline.stages import ViewOptions
from galaxy_edge.runtime.pipeline.threads import run
from galaxy_edge.runtime.pipeline.trace import TraceFile
from galaxy_edge.runtime.sources.demo import DemoSource
from galaxy_edge.runtime.system.buffer_pool import FrameBufferPool
from galaxy_edge.runtime.timing import WINDOW, Span, StageClock


class Sky:
    """The demo's sky, as many frames as wanted; then what `after` does."""

    name, continuous, bad, reopened = "sky", True, 0, 0

    def __init__(self, frames, live=False, after=None):
        self.live, self.length, self.after = live, frames, after
        self.let_go = False

    def __iter__(self):
        try:
            yield from islice(DemoSource(), self.length)
            if self.after:
                self.after()
        finally:
            self.let_go = True


class Still(Sky):
    """The demo's first frame again and again, a second apart."""

    def __iter__(self):
        first = next(iter(DemoSource()))
        for number in range(self.length):
            yield replace(first, number=number, time=first.time + timedelta(seconds=number))


class Notes:
    """Keeps what it is told, and in which thread."""

    def __init__(self, fail_at=None):
        self.records, self.tracks, self.closed, self.threads, self.fail_at = [], [], None, set(), fail_at

    def frame(self, frame, named, record):
        if frame.number == self.fail_at:
            raise RunFailure("the disk is full")
        self.threads.add(threading.current_thread())
        self.records.append({key: value for key, value in record.items() if key not in ("ms", "time")})

    def events(self, changed):
        self.tracks += [track.number for track in changed]

    def close(self, frames, bad):
        self.closed = frames


class Followed(Notes):
    """Keeps what became of each object too."""

    def __init__(self):
        super().__init__()
        self.ends = {}

    def events(self, changed):
        self.ends |= {track.number: track for track in changed if track.confirmed}


@pytest.fixture(scope="module")
def detector():
    return Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))


@pytest.fixture(scope="module")
def classifier():
    return Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier")))


def go(source, detector, classifier, notes, watch=lambda *_: None, stop=lambda: False, **how):
    before = set(threading.enumerate())
    summary = run(source, detector, classifier, notes, watch, stop, **how)
    assert notes.closed == summary.frames == len(notes.records)
    return summary, [thread for thread in threading.enumerate() if thread not in before]


def test_the_stages_at_once_give_what_a_plain_loop_gives_in_order(detector, classifier):
    plain, overlapped = Notes(), Notes()
    go(Sky(20), detector, classifier, plain, overlap=False)
    summary, left = go(Sky(20), detector, classifier, overlapped)
    assert overlapped.records == plain.records and overlapped.tracks == plain.tracks
    assert [record["frame"] for record in plain.records] == list(range(20))
    assert any(record["detections"] for record in plain.records)
    assert overlapped.threads == {threading.current_thread()}  # the one thread that an output may rely on
    assert not left and summary.dropped == 0 and summary.stages["detect"]["count"] == 20


def test_a_live_camera_drops_and_counts_what_is_too_late(detector, classifier):
    notes = Notes()
    summary, _ = go(Sky(40, live=True), detector, classifier, notes, watch=lambda *_: time.sleep(0.01))
    numbers = [record["frame"] for record in notes.records]
    assert summary.dropped > 0 and summary.frames + summary.dropped == 40
    assert numbers == sorted(set(numbers)) and numbers[-1] == 39  # in order, and the newest is never dropped


def test_a_live_camera_is_read_until_so_many_frames_were_looked_at(detector, classifier):
    summary, _ = go(Sky(40, live=True), detector, classifier, Notes(), max_frames=3)
    assert summary.frames == 3 and not summary.stopped


@pytest.mark.parametrize("overlap", [True, False])
def test_no_frame_of_a_file_is_read_beyond_the_last_that_is_wanted(detector, classifier, overlap):
    read = []

    class Counting(Sky):
        def __iter__(self):
            for frame in super().__iter__():
                read.append(frame.number)
                yield frame

    summary, _ = go(Counting(20), detector, classifier, Notes(), max_frames=3, overlap=overlap)
    assert summary.frames == 3 and read == [0, 1, 2]


def test_no_more_frames_of_a_file_are_on_their_way_than_the_cores_can_use(detector, classifier, monkeypatch):
    # Each of 4K is 25 MB: a stage that is slow must not let them pile up before it.
    monkeypatch.setattr(pipeline, "max_in_flight", lambda: 3)
    taken, most = [0], []

    class Counted(Sky):
        def __iter__(self):
            for frame in super().__iter__():
                taken[0] += 1
                yield frame

    class Slow(Notes):
        def frame(self, frame, named, record):
            time.sleep(0.05)
            most.append(taken[0] - len(self.records))
            super().frame(frame, named, record)

    go(Counted(8), detector, classifier, Slow())
    assert len(most) == 8 and max(most) == 3


def test_a_camera_that_fails_leaves_what_it_delivered_written(detector, classifier):
    def fail():
        raise RunFailure("the camera stopped delivering")

    source, notes = Sky(4, after=fail), Notes()
    summary, left = go(source, detector, classifier, notes)
    assert str(summary.failure) == "the camera stopped delivering" and summary.frames == 4
    assert source.let_go and not left


@pytest.mark.parametrize("stage", ["preprocess", "infer", "decode"])
def test_a_stage_that_fails_raises_where_the_run_was_started(classifier, stage, monkeypatch):
    detector, calls = Detector(Bundle.load(shipped_bundle_path("galaxy-detector"))), []
    whole = getattr(detector, stage)

    def fail(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise ZeroDivisionError("a fault of ours")
        return whole(*arguments)

    monkeypatch.setattr(detector, stage, fail)
    source, notes = Sky(20), Notes()
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        run(source, detector, classifier, notes, lambda *_: None, lambda: False)
    assert notes.closed == len(notes.records) == 3  # what was done before it is written
    assert source.let_go and threading.active_count() == before


def test_an_output_that_fails_ends_the_run(detector, classifier):
    notes, source = Notes(fail_at=3), Sky(100)
    summary, left = go(source, detector, classifier, notes)
    assert str(summary.failure) == "the disk is full" and summary.frames == 3
    assert source.let_go and not left


def test_a_camera_that_never_delivers_does_not_hold_up_the_end(detector, classifier, monkeypatch):
    monkeypatch.setattr(pipeline, "PARTING_SECONDS", 0.1)
    forever = threading.Event()
    summary, left = go(
        Sky(2, after=forever.wait), detector, classifier, notes := Notes(), stop=lambda: len(notes.records) == 2
    )
    assert summary.stopped and summary.frames == 2
    assert [thread.name for thread in left] == ["read"] and left[0].daemon
    forever.set()
    left[0].join(10)
    assert not left[0].is_alive()


class Hanging:
    """An engine that hangs at its first call, and one more time for each `times`."""

    def __init__(self, whole, times):
        self.whole, self.times, self.let_go = whole, times, threading.Event()

    def __call__(self, batch):
        if self.times:
            self.times -= 1
            self.let_go.wait()
        return self.whole(batch)


@pytest.mark.parametrize("times", [1, 2])
def test_an_inference_that_hangs_costs_its_frame_and_no_more(classifier, monkeypatch, times):
    monkeypatch.setattr(pipeline, "HANG_SECONDS", 0.5)
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))
    detector.engine = hanging = Hanging(detector.engine, times)
    monkeypatch.setattr(detector, "reload_engine", lambda: None)  # the new engine hangs as often as it is told to
    notes = Notes()
    summary, left = go(Sky(6), detector, classifier, notes)
    hanging.let_go.set()
    for thread in left:
        thread.join(10)
    assert summary.hung == len(left) == times and summary.failure is None
    assert [record["frame"] for record in notes.records] == list(range(times, 6))  # a late answer counts no more


def test_an_engine_that_hangs_is_loaded_anew(classifier, monkeypatch):
    monkeypatch.setattr(pipeline, "HANG_SECONDS", 0.5)
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))
    detector.engine = hanging = Hanging(detector.engine, 99)
    summary, _ = go(Sky(3), detector, classifier, Notes())
    hanging.let_go.set()
    assert summary.hung == 1 and summary.frames == 2 and detector.engine is not hanging


def test_inferences_that_go_on_hanging_end_the_run(classifier, monkeypatch):
    monkeypatch.setattr(pipeline, "HANG_SECONDS", 0.3)
    monkeypatch.setattr(pipeline, "PARTING_SECONDS", 0.1)
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))
    detector.engine = hanging = Hanging(detector.engine, 99)
    monkeypatch.setattr(detector, "reload_engine", lambda: None)
    summary, _ = go(Sky(9), detector, classifier, Notes())
    hanging.let_go.set()
    assert "search hung 3 times in a row" in str(summary.failure) and summary.hung == 3


def test_frames_that_bring_nothing_new_share_a_result_and_cost_no_inference(detector, classifier):
    notes = Notes()
    summary, _ = go(Still(9), detector, classifier, notes, looks=ViewOptions(tiles="auto", gate=5))
    assert [record.pop("reused", False) for record in notes.records] == [number % 5 > 0 for number in range(9)]
    assert summary.gated == 7 and summary.stages["detect"]["count"] == 2 and summary.views >= 4
    assert notes.records[0]["detections"] and all(
        record["detections"] == notes.records[0]["detections"] for record in notes.records
    )
    assert summary.events >= 1  # and what stays is followed all the same


def test_what_is_changed_while_a_run_goes_on_is_heeded(detector, classifier):
    controls, notes, least = Controls(), Notes(), detector.min_score

    def watch(frame, *_):
        controls.paused = 4 <= frame.number < 8  # heeded for frames that are not under way yet
        controls.stack = 3 if frame.number >= 11 else None
        controls.min_score = 1.0 if frame.number >= 15 else least

    go(
        Still(20),
        detector,
        classifier,
        notes,
        watch,
        controls=controls,
        overlap=False,
        looks=ViewOptions(tiles="auto", gate=3),
    )
    detector.min_score = least
    found = [bool(record["detections"]) for record in notes.records]
    assert found[3] and not any(found[5:9]) and found[9] and not any(found[16:])
    assert [record.get("stacked", 1) > 1 for record in notes.records[:12]] == [False] * 12
    assert any(record.get("stacked", 1) > 1 for record in notes.records[12:])


def test_the_trace_tells_of_every_stage_of_every_frame(detector, classifier, tmp_path):
    go(Sky(5), detector, classifier, Notes(), trace=TraceFile(tmp_path / "trace.json", print))
    events = json.loads((tmp_path / "trace.json").read_text())
    spans = [event for event in events if event["ph"] == "X"]
    for number in range(5):
        mine = [span for span in spans if span["args"]["frame"] == number]
        assert [span["name"] for span in mine] == [
            "read",
            "glance",
            "tiles",
            "preprocess",
            "detect",
            "decode",
            "classify",
            "track",
            "write",
        ]
        ends = [span["ts"] + span["dur"] for span in mine]
        assert all(span["ts"] >= end - 1 for span, end in zip(mine[1:], ends, strict=False))  # microseconds, rounded
    assert len({span["tid"] for span in spans}) == 5  # read, prepare, search, name and this thread
    assert {event["tid"] for event in events if event["ph"] == "M"} == {span["tid"] for span in spans}


def test_a_trace_takes_the_place_of_another_with_its_first_frame(tmp_path):
    """Until then the run may still turn out to be none; one without a frame has an empty trace."""
    path = tmp_path / "trace.json"
    for spans, names in (([Span("read", 0.0, 1.0, 7)], ["thread_name", "read"]), ([], [])):
        path.write_text("what another run wrote, at more length than this one will" * 9)
        trace = TraceFile(path, print)
        assert path.read_text().startswith("what another run wrote")
        if spans:
            trace.frame(0, spans)
        trace.close()
        assert [event["name"] for event in json.loads(path.read_text())] == names


def test_a_trace_on_a_full_disk_is_told_of_once_and_ends_no_run(detector, classifier):
    told = []
    summary = go(Sky(40), detector, classifier, Notes(), trace=TraceFile(Path("/dev/full"), told.append))[0]
    assert summary.frames == 40 and summary.failure is None
    assert len(told) == 1 and "No space left on device" in told[0]


def test_stage_times_take_no_more_memory_in_a_long_night():
    clock = StageClock()
    for number in range(WINDOW + 10):
        clock.add({"detect": float(number)})
    assert clock.table()["detect"]["count"] == WINDOW + 10
    assert clock.table()["detect"]["median_ms"] == pytest.approx(10 + (WINDOW - 1) / 2)


def test_a_buffer_is_used_again_only_when_not_even_a_part_of_it_is_held():
    buffers = FrameBufferPool()
    first = buffers.acquire((8, 8, 3))
    part, place = first[2:4], first.ctypes.data
    del first
    assert buffers.acquire((8, 8, 3)).ctypes.data != place
    del part
    assert buffers.acquire((8, 8, 3)).ctypes.data == place
    assert buffers.acquire((4, 4, 3)).shape == (4, 4, 3)


def test_an_adopted_array_is_given_out_once_it_is_free():
    buffers, array = FrameBufferPool(), np.zeros((8, 8, 3), np.uint8)
    place = array.ctypes.data
    buffers.adopt(array)
    assert buffers.acquire((8, 8, 3)).ctypes.data != place
    del array
    assert buffers.acquire((8, 8, 3)).ctypes.data == place


@pytest.fixture(scope="module")
def view(detector):
    """The view of the demo's first ones that has the surest galaxy in it."""
    return max(islice(DemoSource(), 40), key=lambda frame: max(detector(frame.pixels).scores, default=0.0))


def test_a_cloud_over_the_whole_field_ends_no_object_and_begins_none(detector, classifier, view):
    out, noise = Followed(), np.random.default_rng(1)

    class Clouded(Sky):
        def __iter__(self):
            for number in range(self.length):
                dark = noise.integers(5, 15, view.pixels.shape, np.uint8) if 5 <= number < 65 else view.pixels
                yield replace(view, pixels=dark, number=number, time=view.time + timedelta(minutes=number))

    run(Clouded(70), detector, classifier, out, lambda *_: None, lambda: False, overlap=False)
    assert not out.records[30]["detections"] and out.records[-1]["detections"]
    assert {track.first[0] for track in out.ends.values()} == {0}
    assert {track.frames for track in out.ends.values()} == {10}


def test_a_pause_ends_no_object_and_begins_none(detector, classifier, view):
    """Nobody looks in it, for longer than anything is remembered: what is there afterwards is what was there before."""
    controls, out = Controls(), Followed()

    class Hour(Sky):
        def __iter__(self):
            for number in range(self.length):
                controls.paused = 5 <= number < 65
                yield replace(view, number=number, time=view.time + timedelta(minutes=number))

    run(Hour(70), detector, classifier, out, lambda *_: None, lambda: False, controls=controls, overlap=False)
    assert not out.records[30]["detections"] and out.records[-1]["detections"]
    assert {track.first[0] for track in out.ends.values()} == {0}
    assert {track.frames for track in out.ends.values()} == {10}
