"""Sky and noise of a frame.

Exact on known skies, robust against objects in front of them.
"""

import numpy as np
import pytest
from galaxy_edge.models.raw.background import measure_background

SHAPE = (540, 960)


def sky(rng: np.random.Generator, gradient: float = 0.0, vignetting: float = 0.0, noise: float = 20.0) -> np.ndarray:
    """Draw a sky of level 1000 with a gradient and vignetting.

    Both are in sigma from end to end.
    """
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    level = 1000 + noise * (gradient / 2 * (0.8 * x + 0.6 * y) - vignetting * (x * x + y * y) / 2)
    return level, level + rng.normal(0, noise, SHAPE)


@pytest.mark.parametrize(("gradient", "vignetting"), [(0, 0), (30, 0), (0, 40), (20, 30)])
def test_smooth_skies_are_followed(gradient, vignetting):
    level, frame = sky(np.random.default_rng(1), gradient, vignetting)
    found = measure_background(frame.astype(np.float32))
    assert abs(found.noise / 20 - 1) < 0.05
    assert np.abs(found.surface(*SHAPE) - level).max() < 0.35 * 20
    assert np.abs(found.surface(*SHAPE) - level).mean() < 0.15 * 20


@pytest.mark.parametrize("kind", ["disk", "exponential"])
@pytest.mark.parametrize("peak", [2.0, 10.0, 300.0])
def test_a_galaxy_over_a_third_of_the_frame_is_not_eaten(kind, peak):
    """At least 85 % of the galaxy's central surface brightness is left.

    The sky around it is still measured as sky.
    """
    rng = np.random.default_rng(2)
    _, frame = sky(rng, 10, 10)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot((x - 500) / 230, (y - 250) / 240)  # pi * 230 * 240 is a third of the frame
    light = peak * 20 * ((radius < 1) if kind == "disk" else np.exp(-3 * radius))
    left = frame + light - measure_background(frame + light).surface(*SHAPE)
    middle = radius < 0.3
    assert left[middle].mean() > 0.85 * light[middle].mean()
    corners = radius > 1.8
    assert abs(left[corners].mean() - light[corners].mean()) < max(0.7, 0.02 * peak) * 20


def test_stars_do_not_raise_the_noise():
    rng = np.random.default_rng(3)
    _, frame = sky(rng)
    pixels = rng.integers(0, SHAPE[0] * SHAPE[1], 12_000)  # 2 % of all pixels
    frame.ravel()[pixels] += rng.pareto(1.0, len(pixels)) * 100
    assert abs(measure_background(frame).noise / 20 - 1) < 0.08


def test_borders_of_zeros_and_gaps_do_not_count():
    rng = np.random.default_rng(4)
    _, frame = sky(rng)
    frame[:, :400], frame[:90], frame[300:310, 500:600] = 0, 0, np.nan
    found = measure_background(frame)
    assert abs(found.level - 1000) < 5 and abs(found.noise / 20 - 1) < 0.06


@pytest.mark.parametrize(("values", "level"), [(0, 0), (65535, 65535), (np.nan, 0)])
def test_frames_of_one_level_have_no_noise(values, level):
    found = measure_background(np.full((40, 60), values, np.float64))
    assert found.noise == 0 and found.level == level


def test_levels_as_coarse_as_the_noise():
    """The error is below a third of the standard deviation, or below 0.4 levels.

    It is largest where the sky lies a little over half a level: the median is rounded up, and all values below it are
    at least one level away.
    """
    rng = np.random.default_rng(5)
    for sky_level in (12.0, 12.3, 12.5, 12.6, 12.8):
        for noise in (0.4, 0.8, 1.2):
            frame = np.round(rng.normal(sky_level, noise, SHAPE)).astype(np.uint8)
            deviation = frame.std()
            error = abs(measure_background(frame).noise - deviation)
            assert error < max(deviation / 3, 0.4), (sky_level, noise)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 7), (16, 16), (65, 33)])
def test_small_frames(shape):
    found = measure_background(np.random.default_rng(6).normal(5, 1, shape))
    assert np.isfinite(found.coefficients).all() and found.surface(*shape).shape == shape
