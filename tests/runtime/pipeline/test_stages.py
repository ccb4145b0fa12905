"""What the stages do with gate, controls, clouds and pauses, over many frames."""

from dataclasses import replace
from datetime import timedelta
from itertools import islice

import numpy as np
import pytest
from galaxy_edge.runtime.monitoring.controls import Controls
from galaxy_edge.runtime.pipeline.stages import ViewOptions
from galaxy_edge.runtime.sources.demo import DemoSource
from helpers.pipeline import RecordingSink, Sky, Still, run_pipeline


def test_frames_that_show_nothing_new_share_a_result_without_inference(detector, classifier):
    """The gate saves a small computer most of its work.

    The objects are tracked all the same.
    """
    sink = RecordingSink()
    stats, _ = run_pipeline(Still(9), detector, classifier, sink, views=ViewOptions(tiles="2x2", gate=5))
    assert [record.pop("reused", False) for record in sink.records] == [number % 5 > 0 for number in range(9)]
    assert stats.gated == 7 and stats.stages["detect"]["count"] == 2 and stats.views >= 4
    assert sink.records[0]["detections"] and all(
        record["detections"] == sink.records[0]["detections"] for record in sink.records
    )
    assert stats.events >= 1


def test_controls_apply_from_the_next_frame(own_detector, classifier):
    """The live view can change pause, stack depth and minimum score during a run."""
    controls, sink, minimum = Controls(), RecordingSink(), own_detector.min_score

    def on_frame(frame, *_):
        controls.paused = 4 <= frame.number < 8
        controls.stack = 3 if frame.number >= 11 else None
        controls.min_score = 1.0 if frame.number >= 15 else minimum

    views = ViewOptions(tiles="2x2", gate=3)
    run_pipeline(
        Still(20), own_detector, classifier, sink, views=views, controls=controls, on_frame=on_frame, overlap=False
    )
    found = [bool(record["detections"]) for record in sink.records]
    assert found[3] and not any(found[5:9]) and found[9] and not any(found[16:])
    assert [record.get("stacked", 1) > 1 for record in sink.records[:12]] == [False] * 12
    assert any(record.get("stacked", 1) > 1 for record in sink.records[12:])


@pytest.fixture(scope="module")
def view(detector):
    """The view with the best scored galaxy among the demo's first 40."""
    return max(islice(DemoSource(), 40), key=lambda frame: max(detector(frame.pixels).scores, default=0.0))


def test_a_cloud_over_the_whole_field_ends_no_object_and_begins_none(detector, classifier, view):
    """An hour without any sky must not split each galaxy into two events."""
    sink, noise = RecordingSink(), np.random.default_rng(1)

    class Clouded(Sky):
        def __iter__(self):
            for number in range(self.length):
                dark = noise.integers(5, 15, view.pixels.shape, np.uint8) if 5 <= number < 65 else view.pixels
                yield replace(view, pixels=dark, number=number, time=view.time + timedelta(minutes=number))

    run_pipeline(Clouded(70), detector, classifier, sink, overlap=False)
    assert not sink.records[30]["detections"] and sink.records[-1]["detections"]
    assert {track.first[0] for track in sink.confirmed.values()} == {0}
    assert {track.frames for track in sink.confirmed.values()} == {10}


def test_a_pause_ends_no_object_and_begins_none(detector, classifier, view):
    """Nothing is searched for longer than any object is remembered.

    Afterwards the same objects continue.
    """
    controls, sink = Controls(), RecordingSink()

    class Hour(Sky):
        def __iter__(self):
            for number in range(self.length):
                controls.paused = 5 <= number < 65
                yield replace(view, number=number, time=view.time + timedelta(minutes=number))

    run_pipeline(Hour(70), detector, classifier, sink, controls=controls, overlap=False)
    assert not sink.records[30]["detections"] and sink.records[-1]["detections"]
    assert {track.first[0] for track in sink.confirmed.values()} == {0}
    assert {track.frames for track in sink.confirmed.values()} == {10}
