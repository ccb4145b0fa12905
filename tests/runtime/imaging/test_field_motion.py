"""Check that the sky's motion is followed through jumps.

Another star field is recognised as such.
"""

import cv2
import numpy as np
import pytest
from galaxy_edge.benchmarks.robustness.attacks.sources.jumping_field import JUMPS, follow, jumping, star_field, view
from galaxy_edge.runtime.imaging.field_motion import FieldMotion
from galaxy_edge.runtime.imaging.sky_motion import grey_thumbnail


@pytest.mark.parametrize("at", [24, 25, 26, 27])
@pytest.mark.parametrize("kind", JUMPS)
def test_jump_within_a_field_is_followed_in_its_very_frame(kind, at):
    """Three of four frames of a steady sky are extrapolated.

    The frame of the jump must not be one of them.
    """
    results = follow(jumping(kind, at, 0.3, at + 8, 3))
    assert {field for field, _ in results} == {0} and max(error for _, error in results) < 1.0


@pytest.mark.parametrize("at", [24, 25, 26, 27])
def test_another_target_at_the_same_position_is_another_field_from_its_first_frame(at):
    """Two galaxies at the same positions on the sensor, among other stars."""
    fields = [field for field, _ in follow(jumping("target", at, 0.0, at + 8, 5))]
    assert fields == [0] * at + [1] * 8


def test_field_is_recognised_when_the_telescope_returns():
    skies = [star_field(seed) for seed in (1, 2)]
    frames = (view(skies[15 <= number < 30], (number * 0.2, 0), 0, number) for number in range(45))
    fields = [field for field, _ in follow(frames)]
    assert fields == [0] * 15 + [1] * 15 + [0] * 15


def test_bad_frames_and_clouds_do_not_begin_a_field():
    """The stars continue after a trailed frame, ten black ones, and five of noise."""
    sky = star_field(4)

    def frames():
        for number in range(60):
            pixels, matrix = view(sky, (number * 0.2, 0), 0, number)
            if number == 20:
                pixels = np.roll(pixels, 90, axis=0)[::-1].copy()  # stars, but of nothing known
            if 30 <= number < 40:
                pixels = np.full_like(pixels, 8)
            if 45 <= number < 50:
                pixels = np.random.default_rng(number).integers(5, 15, pixels.shape, np.uint8)
            yield pixels, matrix

    fields = [field for field, _ in follow(frames())]
    assert all(field == 0 for number, field in enumerate(fields) if number != 20)


@pytest.mark.parametrize("trail", [1, 45, 60])
def test_frames_of_a_slew_are_trailed_if_their_stars_are(trail):
    """The sky moves by 60 pixels per frame, with and without trails."""
    motion, sky, found = FieldMotion(), star_field(6), []
    for number in range(6):
        pixels, _ = view(sky, (60 * number - 150, 0), 0, number)
        thumbnail = grey_thumbnail(cv2.blur(pixels, (trail, 1)))
        motion.update(thumbnail, pixels.shape[1] // thumbnail.shape[1])
        found.append(motion.is_trailed)
    assert motion.seen and motion.sky[0, 2] == pytest.approx(300, abs=2) and found == [False, *[trail > 1] * 5]
