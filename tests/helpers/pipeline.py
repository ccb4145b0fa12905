"""Sources and sinks for tests of the pipeline, and a run with general checks.

The checks must hold of every run.
"""

import threading
from dataclasses import replace
from datetime import timedelta
from itertools import islice

from galaxy_edge.runtime.errors import RunFailure
from galaxy_edge.runtime.pipeline.loop import run_loop
from galaxy_edge.runtime.pipeline.stages import FrameProcessor, ViewOptions
from galaxy_edge.runtime.sources.demo import DemoSource


class Sky:
    """The first `frames` of the demo's sky; then calls `after`."""

    name, continuous, bad, reopened = "sky", True, 0, 0

    def __init__(self, frames, live=False, after=None):
        self.live, self.length, self.after = live, frames, after
        self.is_released = False

    def __iter__(self):
        try:
            yield from islice(DemoSource(), self.length)
            if self.after:
                self.after()
        finally:
            self.is_released = True


class Still(Sky):
    """The demo's first frame repeatedly, one second apart."""

    def __iter__(self):
        first = next(iter(DemoSource()))
        for number in range(self.length):
            yield replace(first, number=number, time=first.time + timedelta(seconds=number))


class RecordingSink:
    """Keeps what it is given, and in which thread; fails with the frame `fail_at`.

    Attributes:
        confirmed: the last state of each track that was confirmed, by its number.
    """

    def __init__(self, fail_at=None):
        self.records, self.tracks, self.confirmed = [], [], {}
        self.closed, self.threads, self.fail_at = None, set(), fail_at

    def frame(self, frame, detections, record):
        if frame.number == self.fail_at:
            raise RunFailure("the disk is full")
        self.threads.add(threading.current_thread())
        self.records.append({key: value for key, value in record.to_dict().items() if key not in ("ms", "time")})

    def events(self, changed):
        self.tracks += [track.number for track in changed]
        self.confirmed |= {track.number: track for track in changed if track.confirmed}

    def close(self, frames, bad):
        self.closed = frames


def run_pipeline(source, detector, classifier, sink, *, views=ViewOptions(), controls=None, **how):  # noqa: B008
    """Run; return the statistics and the threads that are left.

    Every frame reaches the sink, which is closed.
    """
    before = set(threading.enumerate())
    processor = FrameProcessor(detector, classifier, source.continuous, views, controls)
    stats = run_loop(source, processor, sink, **how)
    assert sink.closed == stats.frames == len(sink.records)
    return stats, [thread for thread in threading.enumerate() if thread not in before]
