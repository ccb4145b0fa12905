"""Frames and tracks made by hand, and functions that read what was written.

They are for tests of what consumes tracks.
"""

import datetime
import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import cv2
import numpy as np
from galaxy_edge.runtime.events.frame_record import FrameRecord
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.recording.output_folder import OutputFolder
from galaxy_edge.runtime.recording.pending import WriterLimits
from galaxy_edge.runtime.tracking.track import Track

CLASSES = ("smooth", "spiral")
ABOUT = dict.fromkeys(("started", "source", "version", "engine", "device", "detector", "classifier"), "x")


def time_of(second):
    return datetime.datetime(2026, 11, 22, 21, tzinfo=datetime.UTC) + datetime.timedelta(seconds=second)


def iso(second):
    return time_of(second).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def track(number=1, first=0, last=None, ended=False, score=0.9, spiral=0.8, side=24, level=None):
    """A track of `number`, seen in frames first..last, one per second.

    Its cutout is one grey.
    """
    last = first if last is None else last
    frames = last - first + 1
    return Track(
        number,
        (first, iso(first)),
        (last, iso(last)),
        "sky",
        np.array([10, 20, 10 + side, 20 + side], np.float32),
        score,
        last,
        np.full((side, side, 3), number % 256 if level is None else level, np.uint8),
        np.array([1 - spiral, spiral]) * frames,
        frames,
        "ended" if ended else "confirmed",
        confirmed=True,
    )


def frame(number=0, width=160, height=120, level=30):
    return Frame(np.full((height, width, 3), level, np.uint8), time_of(number), "sky", number)


def noisy(number):
    """A frame that no codec makes small."""
    pixels = np.random.default_rng(number).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    return replace(frame(number), pixels=pixels)


def named(boxes=((10, 20, 40, 50),), score=0.9, spiral=0.8):
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.full(count, score, np.float32),
        np.tile(np.array([1 - spiral, spiral], np.float32), (count, 1)),
    )


def record(number=0):
    return FrameRecord(number, "sky", iso(number), 160, 120, ms={"detect": 5.0, "read": 1.0})


FAST = WriterLimits(batch_seconds=0.01)
"""Batches follow each other at once, so that tests do not wait for the next one."""


def output(folder, **options):
    """Open an output folder that writes at once, without a video.

    No free space is reserved on its disk.
    """
    return OutputFolder(folder, ABOUT, CLASSES, **{"video": False, "floor": 0, "limits": FAST, **options})


def rows(folder, query):
    """Ask the event file of an output folder."""
    with closing(sqlite3.connect(folder / "events.sqlite")) as base:
        return base.execute(query).fetchall()


def frames_of(video):
    """Decode a video to its end; return how many frames it has."""
    capture, count = cv2.VideoCapture(str(video)), 0
    while capture.read()[0]:
        count += 1
    return count


def until(condition, seconds=60):
    """Wait for a condition; fail if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)
