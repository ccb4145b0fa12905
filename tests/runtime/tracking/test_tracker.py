"""Check that tracking gives one event per object.

The event has the object's best view and its class.
"""

import datetime

import cv2
import numpy as np
import pytest
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.imaging.sky_motion import IDENTITY
from galaxy_edge.runtime.tracking.association import is_streak
from galaxy_edge.runtime.tracking.tracker import MAX_UNSEEN_TRACKS, Tracker
from helpers.images import render


def frame(number, side=100, rate=1.0):
    """Make frame `number` of a source with `rate` frames per second."""
    time = datetime.datetime(2026, 11, 22, 21, tzinfo=datetime.UTC) + datetime.timedelta(seconds=number / rate)
    return Frame(np.full((side, side, 3), number % 256, np.uint8), time, "sky", number)


def detections_at(*rows):
    """Make detections of 20 pixels a side from rows (x, score, probability).

    The probability is that of the first of two classes.
    """
    boxes = np.array([[x, 10, x + 20, 30] for x, _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    return Detections(boxes, scores, np.array([[p, 1 - p] for _, _, p in rows], np.float32).reshape(-1, 2))


def sky_shift(x, y=0.0):
    """Return the sky motion (3x3) of a shift by x and y pixels."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def test_drifting_object_is_one_event_with_its_best_view():
    tracker = Tracker(continuous=True)
    (track,) = tracker.update(frame(0), detections_at((10, 0.5, 0.9)))
    assert (track.state, tracker.count) == ("tentative", 0)
    assert tracker.update(frame(1), detections_at((14, 0.8, 0.5))) == []
    assert tracker.update(frame(2), detections_at((18, 0.6, 0.1))) == [track]
    assert (track.state, track.kind, tracker.count) == ("confirmed", "object", 1)
    assert tracker.finish() == [track] and track.ended and track.confirmed
    assert (track.first[0], track.last[0], track.frames, track.best_frame) == (0, 2, 3, 1)
    assert track.box.tolist() == [14, 10, 34, 30] and track.score == pytest.approx(0.8)
    assert track.probabilities == pytest.approx([0.5, 0.5])  # the mean of 0.9, 0.5 and 0.1
    assert (track.cutout == 1).all()  # cut from frame 1


def test_objects_keep_their_identity_when_detections_change_order():
    tracker = Tracker(continuous=True)
    left, right = tracker.update(frame(0), detections_at((10, 0.9, 0.9), (60, 0.8, 0.1)))
    tracker.update(frame(1), detections_at((61, 0.9, 0.1), (11, 0.8, 0.9)))
    assert left.probabilities[0] == pytest.approx(0.9) and right.probabilities[0] == pytest.approx(0.1)
    assert len(tracker.finish()) == 2


def test_missed_object_is_not_continued_by_another_that_appears():
    """The first frame shows one object, the second only the other.

    Together they look like one that moves.
    """
    tracker, reported = Tracker(continuous=True), []
    tracker.update(frame(0), detections_at((10, 0.9, 0.9)))
    tracker.update(frame(1), detections_at((80, 0.5, 0.1)))
    for number in range(2, 7):
        reported += tracker.update(frame(number), detections_at((10, 0.5, 0.9), (80, 0.5, 0.1)))
    tracker.finish()
    events = {track.number: track for track in reported if track.confirmed}
    assert sorted(track.box[0] for track in events.values()) == [10, 80] and tracker.count == 2
    for track in events.values():
        assert track.probabilities[0] == pytest.approx(0.9 if track.box[0] == 10 else 0.1)
        assert track.best_frame == track.first[0] >= 2 and track.kind == "object"


def test_tentative_track_survives_a_short_gap_and_ends_after_a_long_one():
    tracker = Tracker(continuous=True)
    (first,) = tracker.update(frame(0), detections_at((10, 0.9, 0.5)))
    for number in range(1, 5):
        assert tracker.update(frame(number), detections_at()) == []
    assert tracker.update(frame(5), detections_at((10, 0.9, 0.5))) == []
    assert first.frames == 2
    for number in range(6, 11):
        assert tracker.update(frame(number), detections_at()) == []
    ended, started = tracker.update(frame(11), detections_at((10, 0.9, 0.5)))
    assert ended is first and first.ended and started.number == 2 and not started.ended
    assert not first.confirmed and tracker.count == 0  # it was never an event


def test_confirmed_object_is_expected_where_the_sky_motion_moves_it():
    tracker = Tracker(continuous=True)
    (track,) = tracker.update(frame(0), detections_at((10, 0.9, 0.5)))
    for number in range(1, 4):
        tracker.update(frame(number), detections_at((10, 0.9, 0.5)))
    for number in range(4, 44):  # a cloud, while the sky drifts by more than the object's size
        assert tracker.update(frame(number), detections_at(), sky_shift(number - 3)) == []
    assert tracker.update(frame(44), detections_at((50, 0.9, 0.5)), sky_shift(40)) == [track]
    assert track.frames == 5 and tracker.count == 1


def test_object_ends_and_another_begins_where_the_star_field_changes():
    """Two targets at the same position on the sensor are two events.

    Each has its own class.
    """
    tracker, reported = Tracker(continuous=True), []
    for number in range(20):
        field = number // 10
        reported += tracker.update(frame(number), detections_at((10, 0.9, 0.9 - 0.8 * field)), star_field=field)
    first, second = {track.number: track for track in reported if track.confirmed}.values()
    assert first.ended and not second.ended and (first.frames, second.frames) == (10, 10)
    assert first.probabilities[0] == pytest.approx(0.9) and second.probabilities[0] == pytest.approx(0.1)


def test_object_continues_after_a_frame_of_another_field():
    """A trailed frame between two good ones looks like another field."""
    tracker = Tracker(continuous=True)
    for number in range(12):
        tracker.update(frame(number), detections_at((10, 0.9, 0.5)), star_field=int(number == 6))
    assert tracker.count == 1 and [track.frames for track in tracker.finish() if track.confirmed] == [11]


def make_confirmed_track(tracker, rate=1.0):
    """Feed three observations of one object to the tracker; return its track."""
    for number in range(3):
        changed = tracker.update(frame(number, rate=rate), detections_at((10, 0.9, 0.5)))
    return changed[0]


@pytest.mark.parametrize("rate", [25.0, 1.0, 1 / 60])  # a video, a camera, exposures of a minute
def test_track_lifetime_is_measured_in_frame_time(rate):
    tracker = Tracker(continuous=True)
    track = make_confirmed_track(tracker, rate)
    lifetime = max(50, int(300 * rate))  # five minutes, and no less than 50 frames
    for number in range(3, lifetime):
        assert tracker.update(frame(number, rate=rate), detections_at()) == []
    assert tracker.update(frame(lifetime, rate=rate), detections_at((10, 0.9, 0.5))) == [track] and track.frames == 4
    for number in range(lifetime + 1, 2 * lifetime):
        assert tracker.update(frame(number, rate=rate), detections_at()) == []
    changes = [
        tracker.update(frame(number, rate=rate), detections_at()) for number in range(2 * lifetime, 2 * lifetime + 3)
    ]
    assert [track] in changes and track.ended


def test_cloud_that_hides_the_sky_ends_no_track_within_an_hour():
    tracker = Tracker(continuous=True)
    track = make_confirmed_track(tracker)
    for number in range(3, 1800):  # half an hour
        assert tracker.update(frame(number), detections_at(), IDENTITY, sky_seen=False) == []
    assert tracker.update(frame(1800), detections_at((10, 0.9, 0.5))) == [track] and tracker.count == 1
    changed = [
        tracker.update(frame(1801 + number), detections_at(), IDENTITY, sky_seen=False) for number in range(3700)
    ]
    assert [track] in changed and track.ended  # but not forever


@pytest.mark.parametrize("jump", [-86400, 0, 86400 * 365])  # set back; standing still; a board that learns the time
def test_clock_jump_neither_ends_a_track_nor_keeps_it_for_ever(jump):
    tracker = Tracker(continuous=True)
    track = make_confirmed_track(tracker)
    assert tracker.update(frame(3 + jump), detections_at((10, 0.9, 0.5))) == [] and track.frames == 4
    unseen = 0
    while not track.ended and unseen < 40_000:
        tracker.update(frame(3 + jump), detections_at())
        unseen += 1
    assert 1000 < unseen < 40_000


def test_number_of_unseen_tracks_is_bounded():
    """The camera shows another field every three frames, at 100 frames per second."""
    tracker, alive = Tracker(continuous=True), set()
    for number in range(3000):
        box = np.array([[0, 0, 20, 20]], np.float32) + 1000.0 * (number // 3)
        detections = Detections(box, np.full(1, 0.9, np.float32), np.full((1, 2), 0.5, np.float32))
        for track in tracker.update(frame(number, rate=100.0), detections):
            (alive.discard if track.ended else alive.add)(track.number)
    assert tracker.count == 1000 and MAX_UNSEEN_TRACKS <= len(alive) <= MAX_UNSEEN_TRACKS + 2


def test_visible_object_is_reported_when_it_changes_and_every_ten_seconds():
    tracker = Tracker(continuous=True)
    track = make_confirmed_track(tracker, rate=10.0)
    assert tracker.update(frame(3, rate=10.0), detections_at((10, 0.95, 0.5))) == [track]  # a better view
    assert tracker.update(frame(4, rate=10.0), detections_at((10, 0.5, 0.1))) == [track]  # another class
    reported = [
        number for number in range(5, 500) if tracker.update(frame(number, rate=10.0), detections_at((10, 0.5, 0.1)))
    ]
    assert np.diff([4, *reported]) == pytest.approx([100] * 4, abs=1)


def test_unrelated_images_share_no_object():
    tracker = Tracker(continuous=False)
    (first,) = tracker.update(frame(0), detections_at((10, 0.9, 0.5)))
    (second,) = tracker.update(frame(1), detections_at((10, 0.9, 0.5)))
    assert first.ended and second.ended and (first.number, second.number) == (1, 2)
    assert first.confirmed and second.confirmed and tracker.count == 2
    assert tracker.finish() == []


def test_object_fixed_on_the_sensor_of_a_drifting_sky_is_a_hot_pixel():
    tracker, kinds = Tracker(continuous=True), []
    for number in range(30):  # a pixel a frame, as a mount that does not track
        for track in tracker.update(frame(number), detections_at((30, 0.9, 0.5)), sky_shift(number)):
            kinds.append((number, track.state, track.kind))
    assert [kind for _, _, kind in kinds][-1] == "hot pixel" and tracker.count == 0
    assert len({track.number for track in tracker.finish()}) == 1


def test_object_event_is_withdrawn_when_it_proves_to_be_a_hot_pixel():
    tracker = Tracker(continuous=True)
    (track,) = tracker.update(frame(0), detections_at((30, 0.9, 0.5)))
    for number in range(1, 20):
        # The mount follows the sky: no difference can be seen.
        tracker.update(frame(number), detections_at((30, 0.9, 0.5)))
    assert tracker.count == 1 and track.kind == "object"
    changed = [
        tracker.update(frame(20 + step), detections_at((30, 0.9, 0.5)), sky_shift(3.0 * step)) for step in range(1, 9)
    ]
    assert [track] in changed and (track.kind, tracker.count) == ("hot pixel", 0)


@pytest.mark.parametrize("speed", [8.0, 20.0, 60.0])
def test_plane_is_a_trail_and_not_an_event(speed):
    tracker, changes = Tracker(continuous=True), []
    for number in range(8):
        changes += tracker.update(frame(number), detections_at((5 + speed * number, 0.9, 0.5)), sky_shift(0.2 * number))
    kinds = {track.kind for track in [*changes, *tracker.finish()]}
    assert kinds == {"trail"} and tracker.count == 0


def test_object_of_a_fast_sky_is_not_a_trail():
    """A mount that slews: every frame is shifted by twice the size of the object."""
    tracker = Tracker(continuous=True)
    for number in range(6):
        tracker.update(frame(number), detections_at((5 + 40 * number, 0.9, 0.5)), sky_shift(40.0 * number))
    (track,) = tracker.finish()
    assert track.kind == "object" and track.frames == 6 and track.confirmed


@pytest.mark.parametrize("seed", range(5))
def test_night_of_flickering_objects_hot_pixels_and_planes_gives_twelve_events(seed):
    """Twelve flickering galaxies give twelve events among hot pixels and planes.

    Each is seen in 70 % of the frames of a turning sky.
    """
    random = np.random.default_rng(seed)
    galaxies = np.array([(x, y) for x in (100, 300, 500, 700) for y in (100, 300, 500)]) + random.uniform(
        -40, 40, (12, 2)
    )
    hot_pixels = random.uniform(50, 750, (4, 2))
    tracker, confirmed = Tracker(continuous=True), {}
    for number in range(120):
        angle = np.deg2rad(0.02 * number)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        sky = np.eye(3)
        sky[:2, :2], sky[:2, 2] = rotation, (0.8 * number, -0.3 * number)
        visible = galaxies[random.random(12) < 0.7] @ rotation.T + sky[:2, 2]
        plane = np.array([[20 + 12.0 * (number % 60), 400 + 3.0 * (number % 60)]])
        false_alarms = random.uniform(20, 800, (1 if random.random() < 0.2 else 0, 2))
        centres = np.concatenate([visible + random.normal(0, 1, visible.shape), hot_pixels, plane, false_alarms])
        boxes = np.concatenate([centres - 14, centres + 14], axis=1).astype(np.float32)
        detections = Detections(boxes, np.full(len(boxes), 0.8, np.float32), np.full((len(boxes), 2), 0.5, np.float32))
        for track in tracker.update(frame(number, 900), detections, sky):
            confirmed[track.number] = track
    tracker.finish()
    events = [track for track in confirmed.values() if track.confirmed and track.kind == "object"]
    assert len(events) == tracker.count == 12
    assert sum(track.kind == "hot pixel" for track in confirmed.values()) >= 4
    assert sum(track.kind == "trail" for track in confirmed.values()) >= 2


@pytest.mark.parametrize(
    ("boxes", "scores", "reason"),
    [
        ([[0, 0, 5, 5]], [0.5, 0.5], "do not have the same length"),
        ([[0, 0, 5, np.nan]], [0.5], "finite"),
        ([[5, 0, 5, 5]], [0.5], "x1 > x0"),
    ],
)
def test_invalid_detections_are_refused(boxes, scores, reason):
    with pytest.raises(ValueError, match=reason):
        Detections(np.array(boxes, np.float32), np.array(scores, np.float32))


def test_streak_is_distinguished_from_an_edge_on_galaxy():
    line = np.zeros((60, 60, 3), np.uint8)
    cv2.line(line, (0, 10), (59, 45), (200, 200, 200), 2, cv2.LINE_AA)
    disk = render([(30, 30, 8)], 60, 60)
    edge_on = cv2.resize(disk, (60, 15))  # as thin as galaxies seen from the side are with their bulge: 1 to 4
    assert is_streak(line) and not is_streak(disk) and not is_streak(edge_on)
