"""A track that ends and comes back continues its event."""

import numpy as np
from galaxy_edge.runtime.events.objects import ObjectRegistry
from galaxy_edge.runtime.tracking.identity import ObjectIdentity
from galaxy_edge.runtime.tracking.tracker import Tracker
from galaxy_edge.sky.position import SkyPosition
from helpers.tracks import frame, named

HERE, THERE = (100.0, 20.0), (101.0, 20.0)


class Telescope:
    """A tracker that is given one object a frame, at a position of the sky."""

    def __init__(self, continuous=True):
        self.tracker, self.number, self.changed = Tracker(continuous), 0, []
        self.tracker.identity = ObjectIdentity(ObjectRegistry().identify)

    def look(self, *positions, field=0, score=0.9, kind=None, known=True):
        """Add a frame with an object at each position."""
        boxes = [(10 + 60 * row, 20, 40 + 60 * row, 50) for row in range(len(positions))]
        sky = [SkyPosition(*position, 2.0, 60.0, object_name=kind and "X", object_kind=kind) for position in positions]
        self.changed = self.tracker.update(
            frame(self.number), named(boxes, score=score), star_field=field, positions=sky if known else []
        )
        self.number += 1
        return self.changed


def test_slew_and_return_is_one_event():
    """Its number, first observation and better view stay; observations add up."""
    telescope = Telescope()
    for _ in range(4):
        telescope.look(HERE, score=0.9)
    for _ in range(12):
        telescope.look(THERE, field=1)
    ended = [track for track in telescope.tracker._alive if track.number == 1]
    assert ended == [] and telescope.tracker.count == 2
    for _ in range(4):
        telescope.look(HERE, field=2, score=0.7)
    assert telescope.tracker.count == 2
    (track,) = [track for track in telescope.tracker.finish() if track.number == 1]
    assert (track.first[0], track.last[0], track.frames, track.best_frame) == (0, 19, 8, 0)
    assert track.score == np.float32(0.9) and track.cutout.size == 0  # the crop that was written stays
    assert track.sky.object_id == "J064000.0+200000"


def test_return_before_the_track_ended_leaves_no_second_event():
    telescope = Telescope()
    for field in (0, 1, 2):
        for _ in range(4):
            telescope.look(HERE if field != 1 else THERE, field=field)
    confirmed = [track for track in telescope.tracker.finish() if track.confirmed]
    assert sorted(track.number for track in confirmed) == [1, 2] and telescope.tracker.count == 2


def test_two_objects_in_one_frame_are_never_joined():
    """Their positions may be too near for the errors."""
    telescope = Telescope()
    for _ in range(5):
        telescope.look(HERE, HERE)
    confirmed = [track for track in telescope.tracker.finish() if track.confirmed]
    assert len(confirmed) == 2 and len({track.sky.object_id for track in confirmed}) == 1


def test_position_that_comes_late_is_entered_and_reported():
    """A plate is solved in the background: the first frames have no position."""
    telescope = Telescope()
    for _ in range(4):
        telescope.look(HERE, known=False)
    (track,) = telescope.look(HERE)
    assert track.sky.object_id == "J064000.0+200000" and telescope.tracker.count == 1


def test_return_after_a_late_position_is_no_second_event():
    telescope = Telescope()
    for number in range(6):
        telescope.look(HERE, known=number > 3)
    for _ in range(12):
        telescope.look(THERE, field=1)
    for _ in range(4):
        telescope.look(HERE, field=2)
    assert telescope.tracker.count == 2
    (track,) = [track for track in telescope.tracker.finish() if track.number == 1]
    assert (track.first[0], track.last[0], track.frames) == (0, 21, 10)


def test_event_whose_position_comes_late_continues_the_earlier_one():
    """The event reported before the field is solved ends as a duplicate."""
    telescope = Telescope()
    for _ in range(4):
        telescope.look(HERE)
    for _ in range(12):
        telescope.look(THERE, field=1)
    for _ in range(4):
        telescope.look(HERE, field=2, known=False)
    assert telescope.tracker.count == 3
    changed = {track.number: track for track in telescope.look(HERE, field=2)}
    assert telescope.tracker.count == 2 and len(changed) == 2
    assert not changed.pop(1).ended
    (duplicate,) = changed.values()
    assert (duplicate.ended, duplicate.reported_kind, duplicate.is_galaxy) == (True, "duplicate", False)
    assert sorted(track.number for track in telescope.tracker.finish()) == [1, 2]


def test_nebula_is_not_counted_as_a_galaxy():
    """Also if its position comes late."""
    for late in (False, True):
        telescope = Telescope()
        for number in range(6):
            telescope.look(HERE, kind="reflection nebula", known=not late or number > 3)
        (track,) = telescope.tracker.finish()
        assert (track.reported_kind, track.confirmed, telescope.tracker.count) == ("reflection nebula", True, 0)


def test_unrelated_images_of_one_object_are_one_event():
    telescope = Telescope(continuous=False)
    for position in (HERE, THERE, HERE, HERE):
        (track,) = telescope.look(position)
        assert track.ended
    assert (track.number, track.frames, telescope.tracker.count) == (1, 3, 2)


def test_without_positions_nothing_is_joined():
    telescope = Telescope(continuous=False)
    for _ in range(3):
        telescope.look(HERE, known=False)
    assert telescope.tracker.count == 3
