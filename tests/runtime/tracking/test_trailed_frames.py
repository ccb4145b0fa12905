"""Check that frames trailed by a slew begin no event."""

import numpy as np
from galaxy_edge.runtime.frame import Detections
from galaxy_edge.runtime.tracking.tracker import Tracker
from helpers.tracks import frame


def detections_at(*columns):
    """Make detections of 20 pixels a side at columns of the frame."""
    boxes = np.array([[x, 10, x + 20, 30] for x in columns], np.float32)
    return Detections(boxes, np.full(len(columns), 0.5, np.float32), np.ones((len(columns), 1), np.float32))


def test_trailed_frames_confirm_no_object_but_continue_events():
    """Otherwise each slew away from a galaxy is an event of its own, of a few frames."""
    tracker = Tracker(continuous=True)
    for number in range(3):
        tracker.update(frame(number), detections_at(10))
    tracker.update(frame(3), detections_at(10, 100))
    for number in range(4, 9):
        shift = 8.0 * (number - 3)
        sky = np.array([[1, 0, shift], [0, 1, 0], [0, 0, 1.0]])
        tracker.update(frame(number), detections_at(10 + shift, 50 + shift, 100 + shift), sky, is_trailed=True)
    events = [track for track in tracker.finish() if track.confirmed]
    assert [(event.first[0], event.last[0]) for event in events] == [(0, 8)] and tracker.count == 1
