"""The boxes that the page draws are those of the tracker."""

import datetime

import numpy as np
from galaxy_edge.runtime.events.event import RunInfo
from galaxy_edge.runtime.events.objects import ObjectRegistry
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.tracking.identity import ObjectIdentity
from galaxy_edge.runtime.tracking.tracker import Tracker
from galaxy_edge.runtime.web.tracked_objects import KEPT_FRAMES, KEPT_SECONDS, TrackedObjects
from galaxy_edge.sky.position import SkyPosition

RUN = RunInfo(1, "1f0c22aa", ("smooth_round", "spiral_medium"), 0.6)
START = datetime.datetime(2026, 11, 28, 22, tzinfo=datetime.UTC)


class Sky:
    """A galaxy that drifts by two pixels per frame, or is missed."""

    def __init__(self, continuous=True):
        self.tracker, self.number, self.now = Tracker(continuous), 0, 0.0
        self.objects = TrackedObjects(RUN, lambda: self.now)

    def frame(self, found=True, position=None):
        """Return the boxes to draw in the next frame."""
        shift = 2.0 * self.number
        box = [100 + shift, 50, 140 + shift, 90]
        detections = Detections(
            np.array([box] if found else np.zeros((0, 4)), np.float32),
            np.full(int(found), 0.9, np.float32),
            np.tile(np.array([[0.2, 0.8]], np.float32), (int(found), 1)),
        )
        time = START + datetime.timedelta(seconds=self.now)
        frame = Frame(np.zeros((200, 400, 3), np.uint8), time, "sky", self.number)
        matrix = np.array([[1, 0, shift], [0, 1, 0], [0, 0, 1.0]])
        boxes = self.objects.update(
            self.tracker.update(frame, detections, matrix, positions=[position] if position else ()),
            self.number,
            400,
            200,
        )
        self.number, self.now = self.number + 1, self.now + 1.0
        return boxes


def test_box_does_not_blink_and_moves_with_the_sky():
    """It has the name of the event, and is marked while the object is missed."""
    sky = Sky()
    assert [len(sky.frame()) for _ in range(2)] == [0, 0], "not confirmed yet"
    (seen,) = sky.frame()
    assert seen.id == "1f0c22aa-00001" and seen.label == "spiral galaxy" and seen.seen
    assert seen.box == (104 / 400, 50 / 200, 144 / 400, 90 / 200)
    (missed,) = sky.frame(found=False)
    assert missed.id == seen.id and not missed.seen
    assert missed.box == (106 / 400, 50 / 200, 146 / 400, 90 / 200)
    assert sky.frame()[0].seen


def test_box_of_what_is_gone_is_not_drawn():
    """Neither for what was missed for too long, nor for what has left the frame."""
    sky = Sky()
    for _ in range(3):
        sky.frame()
    shown = [len(sky.frame(found=False)) for _ in range(max(KEPT_FRAMES, int(KEPT_SECONDS)) + 3)]
    assert shown[0] == 1 and shown[-1] == 0
    leaving = Sky()
    leaving.number = 137  # its centre leaves in the fourth frame
    assert [len(leaving.frame()) for _ in range(4)][2:] == [1, 0]


def test_each_unrelated_image_shows_its_own_objects():
    """They end with their only frame, and are drawn in it."""
    sky = Sky(continuous=False)
    first, second = sky.frame(), sky.frame()
    assert [entry.id for entry in first] == ["1f0c22aa-00001"] and [entry.id for entry in second] == ["1f0c22aa-00002"]
    assert sky.frame(found=False) == []


def test_nebula_is_drawn_with_its_name_and_kind():
    """Not as the galaxy that the classifier takes it for."""
    sky = Sky()
    nebula = SkyPosition(315.4, 68.2, 2.0, 60.0, object_name="NGC 7023", object_kind="reflection nebula")
    (box,) = [sky.frame(position=nebula) for _ in range(3)][-1]
    assert box.name == box.label == "NGC 7023, reflection nebula"


def test_joined_object_is_drawn_once():
    """Its second event was reported before its position was known."""
    sky = Sky()
    sky.tracker.identity = ObjectIdentity(ObjectRegistry().identify)
    here = SkyPosition(192.7, 41.1, 2.0, 60.0)
    first = [sky.frame(position=here) for _ in range(3)][-1]
    sky.tracker._alive[0].end()
    for _ in range(4):
        begun = sky.frame()
    assert [box.id for box in begun] != [box.id for box in first]
    assert [box.id for box in sky.frame(position=here)] == [box.id for box in first]
