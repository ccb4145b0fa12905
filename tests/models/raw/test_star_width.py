"""The width of a raw frame's stars, out of focus too, among galaxies and noise."""

import numpy as np
import pytest
from galaxy_edge.models.raw.front_end import develop
from galaxy_edge.models.raw.star_width import star_width


def exposure(width, stars=80, galaxies=0, size=(300, 400)):
    """Draw a linear frame of noise 20 with Gaussian stars.

    Their width is the full width at half maximum in pixels.
    """
    rng = np.random.default_rng(5)
    frame = rng.normal(1000, 20, size)
    rows, columns = np.mgrid[: size[0], : size[1]]
    for number in range(stars + galaxies):
        sigma = (width if number < stars else 14.0) / 2.3548
        y, x = rng.uniform(20, size[0] - 20), rng.uniform(20, size[1] - 20)
        light = 20 * np.exp(rng.uniform(np.log(15), np.log(100)))
        frame += light * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return develop(np.clip(frame, 0, 65535).astype(np.uint16)).pixels


@pytest.mark.parametrize("width", [2.0, 3.0, 5.0, 8.0])
def test_width_is_that_of_the_stars(width):
    assert star_width(exposure(width, galaxies=10)) == pytest.approx(width, rel=0.2, abs=0.4)


def test_frames_with_too_few_stars_have_none():
    assert star_width(exposure(3.0, stars=2)) is None
    assert star_width(np.zeros((10, 10, 3), np.uint8)) is None
