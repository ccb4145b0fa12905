"""Frames and tracks made by hand, for tests of what consumes them."""

import datetime

import numpy as np
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.output import Output
from galaxy_edge.runtime.track import Track

CLASSES = ("smooth", "spiral")
ABOUT = dict.fromkeys(("started", "source", "version", "engine", "device", "detector", "classifier"), "x")


def time_of(second):
    return (datetime.datetime(2026, 11, 22, 21, tzinfo=datetime.UTC) + datetime.timedelta(seconds=second))


def iso(second):
    return time_of(second).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def track(number=1, first=0, last=None, ended=False, score=0.9, spiral=0.8, side=24, level=None):
    """A track of `number`, seen in frames first..last, one a second; its cutout is one grey."""
    last = first if last is None else last
    frames = last - first + 1
    return Track(
        number, (first, iso(first)), (last, iso(last)), "sky", np.array([10, 20, 10 + side, 20 + side], np.float32), score,
        last, np.full((side, side, 3), number % 256 if level is None else level, np.uint8),
        np.array([1 - spiral, spiral]) * frames, frames, "ended" if ended else "confirmed", confirmed=True,
    )


def frame(number=0, width=160, height=120, level=30):
    return Frame(np.full((height, width, 3), level, np.uint8), time_of(number), "sky", number)


def named(boxes=((10, 20, 40, 50),), score=0.9, spiral=0.8):
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4), np.full(count, score, np.float32),
        np.tile(np.array([1 - spiral, spiral], np.float32), (count, 1)),
    )


def record(number=0):
    return {"frame": number, "source": "sky", "detections": [], "ms": {"detect": 5.0, "read": 1.0}}


def output(folder, **how):
    return Output(folder, ABOUT, CLASSES, **{"video": False, "floor": 0, **how})
