"""Windows for the network: galaxies get one, stars and empty skies do not."""

import numpy as np
import pytest
from galaxy_edge.models.raw.extended_sources import ExtendedSource, extended_sources, star_dominated, windows_around
from galaxy_edge.models.raw.front_end import develop

SHAPE = (540, 960)


def sky(rng: np.random.Generator, stars: int = 150, seeing: float = 0.7) -> np.ndarray:
    """Draw a mono frame with stars in sigma: (H, W)."""
    frame = rng.normal(0, 1, SHAPE)
    for _ in range(stars):
        x0, y0 = rng.uniform(10, SHAPE[1] - 10), rng.uniform(10, SHAPE[0] - 10)
        y, x = np.mgrid[int(y0) - 8 : int(y0) + 9, int(x0) - 8 : int(x0) + 9]
        flux = min(5 * (rng.pareto(1.0) + 1), 2000)
        frame[y, x] += flux * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * seeing**2))
    return frame


def galaxy(x: float, y: float, side: float, peak: float) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return peak * np.exp(-np.hypot((columns - x) / (side / 4), (rows - y) / (side / 6)))


@pytest.mark.parametrize(("side", "peak"), [(16, 12.0), (40, 4.0), (90, 2.0), (200, 1.0)])
def test_galaxies_are_found_among_stars(side, peak):
    frame = sky(np.random.default_rng(side)) + galaxy(400, 250, side, peak)
    found = extended_sources(develop(frame).pixels)
    assert found and np.hypot(found[0].x - 400, found[0].y - 250) < 0.25 * side + 3
    windows = windows_around(found, SHAPE[1], SHAPE[0], 224)
    if side < 100:
        assert ((windows[:, 0] < 400 - side / 2) & (windows[:, 2] > 400 + side / 2)).any()


def test_a_bright_galaxy_does_not_hide_a_faint_one():
    frame = sky(np.random.default_rng(1)) + galaxy(200, 250, 60, 300.0) + galaxy(700, 300, 30, 6.0)
    found = extended_sources(develop(frame).pixels)
    assert any(np.hypot(source.x - 700, source.y - 300) < 12 for source in found)


def test_stars_and_noise_cost_next_to_nothing():
    windows = 0
    for seed in range(10):
        found = extended_sources(develop(sky(np.random.default_rng(seed))).pixels)
        windows += len(windows_around(found, SHAPE[1], SHAPE[0], 224))
    assert windows <= 10


def test_windows_lie_inside_and_hold_their_sources():
    rng = np.random.default_rng(3)
    sources = [
        ExtendedSource(rng.uniform(0, 960), rng.uniform(0, 540), rng.choice([8, 16, 64, 128]), 9.0) for _ in range(30)
    ]
    windows = windows_around(sources, 960, 540, 224, most=100)
    assert (windows[:, :2] >= 0).all() and (windows[:, 2] <= 960).all() and (windows[:, 3] <= 540).all()
    for source in sources:
        assert (
            (windows[:, 0] <= source.x)
            & (source.x < windows[:, 2])
            & (windows[:, 1] <= source.y)
            & (source.y < windows[:, 3])
        ).any()


def test_no_sources_no_windows():
    assert windows_around([], 960, 540, 224).shape == (0, 4)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (30, 30), (101, 57)])
def test_small_images(shape):
    assert extended_sources(np.zeros((*shape, 3), np.uint8)) == []


def test_a_star_in_a_nebula_is_distinguished_from_a_galaxy():
    rng = np.random.default_rng(5)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    frame = rng.normal(0, 1, SHAPE)
    frame += 3 * np.exp(-(((x - 200) ** 2 + (y - 200) ** 2) / (2 * 25**2)))
    frame += 900 * np.exp(-(((x - 205) ** 2 + (y - 203) ** 2) / (2 * 1.0**2)))
    frame += galaxy(600, 300, 80, 60.0) + 200 * np.exp(-(((x - 600) ** 2 + (y - 300) ** 2) / (2 * 1.5**2)))
    boxes = np.array([[150, 150, 250, 250], [560, 270, 640, 330], [400, 100, 460, 160], [1, 1, 3, 3]], np.float32)
    assert star_dominated(develop(frame).pixels, boxes).tolist() == [True, False, False, False]
    assert star_dominated(develop(frame).pixels, np.zeros((0, 4))).shape == (0,)


def test_a_saturated_star_in_a_bright_nebula_is_distinguished_from_a_galaxy():
    """A star's peak is cut off at white, which makes its nebula seem a larger share."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    frame = rng.normal(0, 1, SHAPE)
    frame += 30 * np.exp(-(((x - 200) ** 2 + (y - 200) ** 2) / (2 * 25**2)))
    frame += 1200 * np.exp(-(((x - 205) ** 2 + (y - 203) ** 2) / (2 * 1.0**2)))
    frame += galaxy(600, 300, 80, 500.0)
    boxes = np.array([[150, 150, 250, 250], [560, 270, 640, 330]], np.float32)
    assert star_dominated(develop(frame).pixels, boxes).tolist() == [True, False]
