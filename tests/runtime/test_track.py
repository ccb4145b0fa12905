"""One event an object: what is the same object, what is another, and what is made of its frames."""

import datetime

import numpy as np
import pytest
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.track import Tracker


def frame(number):
    time = datetime.datetime(2026, 11, 22, 21, 0, number % 60, tzinfo=datetime.UTC)
    return Frame(np.full((100, 100, 3), number, np.uint8), time, "sky", number)


def found(*rows):
    """Detections (x, score, probability of the first of two classes) of 20 pixels a side."""
    boxes = np.array([[x, 10, x + 20, 30] for x, _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    return Detections(boxes, scores, np.array([[p, 1 - p] for _, _, p in rows], np.float32).reshape(-1, 2))


def test_an_object_that_drifts_is_one_event_with_its_best_view():
    tracker = Tracker(continuous=True)
    (track,) = tracker.update(frame(0), found((10, 0.5, 0.9)))
    assert tracker.update(frame(1), found((14, 0.8, 0.5))) == []
    assert tracker.update(frame(2), found((18, 0.6, 0.1))) == []
    assert tracker.finish() == [track] and track.ended
    assert (track.first[0], track.last[0], track.frames, track.best_frame) == (0, 2, 3, 1)
    assert track.box.tolist() == [14, 10, 34, 30] and track.score == pytest.approx(0.8)
    assert track.probabilities == pytest.approx([0.5, 0.5])  # the mean of 0.9, 0.5 and 0.1
    assert (track.cutout == 1).all()  # cut from frame 1


def test_two_objects_keep_their_identities_when_they_come_in_another_order():
    tracker = Tracker(continuous=True)
    left, right = tracker.update(frame(0), found((10, 0.9, 0.9), (60, 0.8, 0.1)))
    tracker.update(frame(1), found((61, 0.9, 0.1), (11, 0.8, 0.9)))
    assert left.probabilities[0] == pytest.approx(0.9) and right.probabilities[0] == pytest.approx(0.1)
    assert tracker.count == 2


def test_an_object_may_be_unseen_for_a_while_but_not_for_long():
    tracker = Tracker(continuous=True, patience=5)
    (first,) = tracker.update(frame(0), found((10, 0.9, 0.5)))
    for number in range(1, 5):
        assert tracker.update(frame(number), found()) == []
    assert tracker.update(frame(5), found((10, 0.9, 0.5))) == []
    assert first.frames == 2
    for number in range(6, 11):
        assert tracker.update(frame(number), found()) == []
    ended, begun = tracker.update(frame(11), found((10, 0.9, 0.5)))
    assert ended is first and first.ended and begun.number == 2 and not begun.ended


def test_pictures_that_do_not_follow_each_other_share_no_object():
    tracker = Tracker(continuous=False)
    (first,) = tracker.update(frame(0), found((10, 0.9, 0.5)))
    (second,) = tracker.update(frame(1), found((10, 0.9, 0.5)))
    assert first.ended and second.ended and (first.number, second.number) == (1, 2)
    assert tracker.finish() == []


@pytest.mark.parametrize(
    ("boxes", "scores", "reason"),
    [
        ([[0, 0, 5, 5]], [0.5, 0.5], "do not belong together"),
        ([[0, 0, 5, np.nan]], [0.5], "finite"),
        ([[5, 0, 5, 5]], [0.5], "x1 > x0"),
    ],
)
def test_detections_are_checked_when_made(boxes, scores, reason):
    with pytest.raises(ValueError, match=reason):
        Detections(np.array(boxes, np.float32), np.array(scores, np.float32))
