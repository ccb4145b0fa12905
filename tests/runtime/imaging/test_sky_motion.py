"""Check estimates of sky motion against videos and drawn skies of known motion."""

from itertools import cycle, islice

import cv2
import numpy as np
import pytest
from galaxy_edge.runtime.imaging.sky_motion import IDENTITY, SkyMotion, grey_thumbnail, repeat_motion
from galaxy_edge.runtime.sources.demo import DemoSource
from galaxy_edge.runtime.sources.open_source import open_source
from helpers.moving_sky import HEIGHT, WIDTH, MovingSky
from scipy.linalg import fractional_matrix_power

CORNERS = np.array([[0, 0], [WIDTH, 0], [0, HEIGHT], [WIDTH, HEIGHT], [WIDTH / 2, HEIGHT / 2]], float)


def update_motion(motion, pixels):
    thumbnail = grey_thumbnail(pixels)
    return motion.update(thumbnail, pixels.shape[1] // thumbnail.shape[1])


@pytest.mark.parametrize(("drift", "turn"), [((2, 1), 0.0), ((3, -2), 0.2), ((0, 0), 0.5), ((25, -5), 0.0)])
def test_drift_and_field_rotation_are_followed(tmp_path, drift, turn):
    sky = MovingSky(tmp_path / "sky.avi", 12, drift, turn, start=(150, 250))
    motion = SkyMotion()
    for frame in open_source(str(sky.path), print):
        matrix = update_motion(motion, frame.pixels)
    # Where the corners of the last frame were in the first.
    in_first_frame = np.linalg.solve(matrix, np.c_[CORNERS, np.ones(5)].T).T[:, :2]
    error = np.linalg.norm(in_first_frame - sky.place(CORNERS, 11), axis=1)
    assert error.max() < 3.0  # pixels, in the corners too, after all frames; an object is ten times as large


def test_sky_without_stars_and_slew_count_as_still():
    noise = np.random.default_rng(1)
    motion = SkyMotion()
    for _ in range(4):  # noise alone: two frames have nothing in common
        assert update_motion(motion, noise.integers(5, 15, (240, 320, 3), np.uint8)) is IDENTITY
    assert update_motion(motion, np.zeros((240, 320, 3), np.uint8)) is IDENTITY
    # Another size: the camera was reconfigured.
    assert update_motion(motion, np.zeros((120, 160, 3), np.uint8)) is IDENTITY


def test_hot_pixels_do_not_affect_the_motion():
    # Ten hot pixels stay where they are; sixty stars drift.
    random = np.random.default_rng(2)
    stars, hot_pixels = random.uniform(20, 280, (60, 2)), random.integers(10, 230, (10, 2))
    motion = SkyMotion()
    for step in range(5):
        sky = random.normal(10, 1, (240, 320)).clip(0, 255).astype(np.float32)
        for x, y in stars + np.array([2.0, 1.0]) * step:
            cv2.circle(sky, (round(x * 16), round(y * 16)), 24, 160, -1, cv2.LINE_AA, 4)
        sky[hot_pixels[:, 1], hot_pixels[:, 0]] = 255
        matrix = update_motion(motion, np.repeat(sky.astype(np.uint8)[..., None], 3, axis=2))
    assert matrix[:2, 2] == pytest.approx([8, 4], abs=0.3)


def draw_star_field(random, stars, shift):
    sky = random.normal(10, 1, (240, 320)).clip(0, 255).astype(np.float32)
    for x, y in stars + shift:
        cv2.circle(sky, (round(x * 16), round(y * 16)), 24, 160, -1, cv2.LINE_AA, 4)
    return np.repeat(sky.astype(np.uint8)[..., None], 3, axis=2)


def test_drift_that_reverses_is_followed():
    # The search starts at the predicted position; a mount that corrects itself moves the sky elsewhere.
    random = np.random.default_rng(3)
    stars, motion = random.uniform(40, 200, (50, 2)), SkyMotion()
    for shift in ([0, 0], [4, 0], [8, 0], [-12, 3], [-14, 3], [-14, 3]):
        matrix = update_motion(motion, draw_star_field(random, stars, np.array(shift)))
    assert matrix[:2, 2] == pytest.approx([-14, 3], abs=0.4)


@pytest.mark.parametrize("after", ["a cloud", "another sky"])
def test_drift_is_not_extrapolated_when_the_field_is_lost(after):
    random = np.random.default_rng(4)
    stars, motion = random.uniform(40, 200, (50, 2)), SkyMotion()
    for step in range(3):
        matrix = update_motion(motion, draw_star_field(random, stars, np.array([3.0, 1.0]) * step))
    other_stars = random.uniform(10, 230, (0 if after == "a cloud" else 50, 2))
    assert motion.seen
    assert update_motion(motion, draw_star_field(random, other_stars, np.zeros(2))) is matrix
    assert not motion.seen


def test_endless_zoom_stays_finite():
    """The demo zooms in repeatedly.

    After some hundred frames, the scale would be a billionth of the initial one.
    """
    motion, zooms = SkyMotion(), []
    frames = [frame.pixels for frame in islice(DemoSource(), 16)]
    for pixels in islice(cycle(frames + frames[-2:0:-1]), 600):
        zooms.append(np.linalg.det(update_motion(motion, pixels)[:2, :2]) ** 0.5)
    assert np.isfinite(motion.sky).all() and 1e-3 < min(zooms) < 2e-3 and max(zooms) < 1e3


def follow_steady_sky(random, stars, shifts):
    """Follow a sky over frames with the given shifts.

    Return the motion, and which frames needed an update.
    """
    motion, updated = SkyMotion(), []
    for shift in shifts:
        updated.append(motion.needs_update)
        if motion.needs_update:
            update_motion(motion, draw_star_field(random, stars, np.array(shift)))
        else:
            motion.extrapolate()
    return motion, updated


def test_steady_sky_is_updated_every_fourth_frame_and_predicted_correctly():
    random = np.random.default_rng(6)
    motion, updated = follow_steady_sky(
        random, random.uniform(60, 180, (50, 2)), [(0.9 * step, 0.4 * step) for step in range(40)]
    )
    assert all(updated[:6]) and updated[-16:].count(True) == 4
    assert motion.sky[:2, 2] == pytest.approx([0.9 * 39, 0.4 * 39], abs=0.3)
    assert motion.seen


def test_sky_that_stops_between_updates_is_corrected_at_the_next_update():
    random = np.random.default_rng(7)
    shifts = [(1.5 * min(step, 17), 0.0) for step in range(30)]
    motion, updated = follow_steady_sky(random, random.uniform(60, 180, (50, 2)), shifts)
    assert not all(updated[:18])
    assert motion.sky[:2, 2] == pytest.approx([1.5 * 17, 0.0], abs=0.3)


def test_slew_between_updates_is_detected_and_every_frame_is_updated_again():
    random = np.random.default_rng(8)
    stars, motion = random.uniform(60, 180, (50, 2)), SkyMotion()
    step = 0
    while motion.needs_update:
        update_motion(motion, draw_star_field(random, stars, np.array([1.0, 0.5]) * step))
        step += 1
    while not motion.needs_update:
        motion.extrapolate()
    update_motion(motion, draw_star_field(random, random.uniform(10, 230, (50, 2)), np.zeros(2)))
    assert not motion.seen and motion.needs_update


@pytest.mark.parametrize("times", [0.25, 1, 3])
def test_repeated_motion_is_the_matrix_power(times):
    turn, zoom = np.radians(0.7), 1.01
    step = np.array(
        [[zoom * np.cos(turn), -zoom * np.sin(turn), 2.0], [zoom * np.sin(turn), zoom * np.cos(turn), -1.0]]
    )
    whole = np.vstack([step, [0, 0, 1]])
    expected = fractional_matrix_power(whole, times)
    assert repeat_motion(step, times) == pytest.approx(expected[:2].real, abs=1e-9)
    assert repeat_motion(np.array([[1.0, 0, 3.0], [0, 1.0, 2.0]]), times)[:, 2] == pytest.approx([3 * times, 2 * times])
