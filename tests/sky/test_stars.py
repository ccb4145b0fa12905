"""Stars are found and measured in drawn fields."""

import math

import numpy as np
import pytest
from galaxy_edge.sky.stars import find_stars, join_planes
from helpers.star_field import draw_stars, made_up_stars, make_wcs


def test_stars_are_where_they_were_drawn():
    wcs = make_wcs()
    radec, flux = made_up_stars(wcs)
    found = find_stars(draw_stars(wcs, radec, flux))
    drawn = wcs.to_pixels(radec)
    inside = ((drawn > 10) & (drawn < (wcs.width - 10, wcs.height - 10))).all(axis=1)
    distances = np.hypot(*(drawn[inside][:, None] - found.xy[None]).transpose(2, 0, 1)).min(axis=1)
    assert len(found) <= inside.sum() + 8, "noise is no star"
    assert np.median(distances) < 0.1 and np.mean(distances < 1) > 0.9
    assert np.median(found.fwhm) == pytest.approx(3.0, abs=0.3) and np.median(found.elongation) < 1.3
    assert (np.diff(found.flux) <= 0).all()


def test_superpixels_give_positions_of_the_frame():
    wcs = make_wcs()
    light = draw_stars(wcs, *made_up_stars(wcs))
    small = light.reshape(240, 2, 320, 2).mean(axis=(1, 3))
    whole, half = find_stars(light).brightest(10), find_stars(small, binning=2).brightest(10)
    distances = np.hypot(*(whole.xy[:, None] - half.xy[None]).transpose(2, 0, 1)).min(axis=1)
    assert np.median(distances) < 0.15


@pytest.mark.parametrize(
    "light",
    [np.zeros((480, 640)), np.full((480, 640), np.nan), np.zeros((10, 10)), np.full((200, 300), 65535.0)],
)
def test_a_frame_without_stars_has_none(light):
    assert len(find_stars(join_planes([light]))) == 0


def test_hot_pixels_are_no_stars():
    light = np.random.default_rng(1).normal(1000, 5, (300, 300)).astype(np.float32)
    light[50:250:20, 50:250:20] += 2000
    assert len(find_stars(light)) == 0


@pytest.mark.parametrize("fwhm", [1.2, 1.8, 3.5])
def test_stars_narrower_than_two_pixels_are_measured(fwhm):
    """The light of a star in each pixel, whose own width adds to it."""
    rng, edges = np.random.default_rng(1), np.arange(201)
    light = rng.normal(100, 3, (200, 200))
    for x, y in rng.uniform(20, 180, (30, 2)):
        across, down = (
            np.diff([math.erf((edge - at) / fwhm * 2.3548 / math.sqrt(2)) for edge in edges]) / 2 for at in (x, y)
        )
        light += 8000 * np.outer(down, across)
    found = find_stars(light.astype(np.float32))
    assert np.median(found.fwhm) == pytest.approx(math.hypot(fwhm, 2.3548 / math.sqrt(12)), rel=0.06)
