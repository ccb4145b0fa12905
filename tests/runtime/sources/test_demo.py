"""The demo: a fixed tour, or one that repeats at the pace of a camera."""

from itertools import islice

import numpy as np
from galaxy_edge.runtime.session import RunConfig, Session, WebConfig
from galaxy_edge.runtime.sources import demo


def test_the_repeating_demo_returns_to_its_start_at_its_pace(monkeypatch):
    """Nobody opens a browser within the seconds of a single tour."""
    slept = []
    monkeypatch.setattr(demo.time, "sleep", slept.append)
    monkeypatch.setattr(demo.time, "monotonic", lambda: sum(slept))
    source = demo.DemoSource(repeats=True)
    tour = demo.FRAMES_PER_LEG * len(demo.STOPS)
    frames = list(islice(source, tour + 2))
    assert source.live and source.length is None
    assert [frame.number for frame in frames] == list(range(tour + 2))
    assert np.array_equal(frames[0].pixels, frames[tour].pixels)
    assert abs(sum(slept) - (tour + 1) / demo.LOOP_RATE) < 1e-6


def test_the_demo_repeats_only_for_viewers(tmp_path):
    for options, length in (
        ({}, 112), ({"web": WebConfig("0")}, None), ({"web": WebConfig("0"), "max_frames": 3}, 3),
    ):  # fmt: skip
        session = Session(RunConfig(out=tmp_path / "out", **options))
        session.close()
        assert session.length == length
