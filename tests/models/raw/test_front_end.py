"""The front end: invariant to levels, calibrated noise, robust to odd frames.

Frames that are unusual give valid output.
"""

import numpy as np
import pytest
from galaxy_edge.models.raw.front_end import develop


def frame(seed: int = 1, shape: tuple[int, int] = (480, 640)) -> np.ndarray:
    """Draw a mosaic RGGB with stars and a galaxy: (H, W) float64."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    light = 400 * np.exp(-np.hypot((x - 300) / 30, (y - 200) / 18))
    for _ in range(150):
        x0, y0 = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        near = (slice(max(0, int(y0) - 8), int(y0) + 9), slice(max(0, int(x0) - 8), int(x0) + 9))
        light[near] += 150 * (rng.pareto(1.2) + 0.3) * np.exp(-((x[near] - x0) ** 2 + (y[near] - y0) ** 2) / 4)
    gain = np.tile([[0.6, 1.0], [1.0, 0.7]], (shape[0] // 2, shape[1] // 2))
    return np.minimum(900 * gain + light * gain + rng.normal(0, 25, shape), 60_000)


@pytest.mark.parametrize(
    ("factor", "offset"), [(1.0, 0.0), (7.3, -2000.0), (1 / 65535, 0.0), (1e-15, 1e-13), (1e7, 0.0), (1e20, 5e21)]
)
def test_gain_and_offset_change_nothing(factor, offset):
    linear = frame()
    first = develop(linear.astype(np.float64), "RGGB").pixels.astype(int)
    second = develop(linear * factor + offset, "RGGB").pixels.astype(int)
    assert np.abs(first - second).max() <= 1


def test_integers_give_the_image_of_their_floats():
    linear = np.round(frame())
    assert (
        np.abs(develop(linear.astype(np.uint16), "RGGB").pixels.astype(int) - develop(linear, "RGGB").pixels).max() <= 1
    )


@pytest.mark.parametrize("colour", range(3))
def test_each_channel_by_itself_may_change(colour):
    """White balance, filters, and a town's orange sky."""
    rgb = np.stack([frame(seed)[::2, ::2] for seed in (1, 1, 1)], axis=2)
    rgb += np.random.default_rng(2).normal(0, 10, rgb.shape)
    changed = rgb.copy()
    changed[..., colour] = 1.9 * changed[..., colour] + 700
    assert np.abs(develop(rgb).pixels.astype(int) - develop(changed).pixels).max() <= 1


def test_noise_alone_is_mid_dark_noise():
    for seed, level, noise in ((1, 800, 60), (2, 0.0, 1e-4)):
        pixels = develop(np.random.default_rng(seed).normal(level, noise, (600, 800)), "GRBG").pixels
        assert 15 < np.median(pixels) < 50 and 5 < pixels.std() < 25 and np.percentile(pixels, 99.9) < 100


def test_mono_stays_mono():
    found = develop(frame())
    assert found.binning == 1 and found.pixels.shape == (480, 640, 3) and found.record["balance"] == "mono"
    assert np.array_equal(found.pixels[..., 0], found.pixels[..., 1])
    assert np.array_equal(found.pixels[..., 0], found.pixels[..., 2])


def test_stars_become_white_and_the_sky_grey():
    found = develop(frame(), "RGGB")
    assert found.binning == 2 and found.record["balance"] == "stars"
    bright = found.pixels.min(axis=2) > 120
    assert np.ptp(found.pixels[bright].mean(axis=0)) < 25
    assert np.ptp(np.median(found.pixels, axis=(0, 1))) <= 1.5


def test_full_size_is_debayered():
    found = develop(frame().astype(np.uint16), "RGGB", full_size=True)
    assert found.binning == 1 and found.pixels.shape == (480, 640, 3)


@pytest.mark.parametrize("pattern", [None, "RGGB"])
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((40, 50), np.uint16),
        np.full((41, 33), 65535, np.uint16),
        np.full((20, 20), np.nan, np.float32),
        np.full((20, 20), np.inf),
        np.zeros((2, 2), np.uint8),
        np.full((64, 64), 1e300),
        np.full((64, 64), 1e-310),
        np.zeros((300, 300), np.int32),
        np.eye(64) * 1000,
        np.full((3, 500), -7.5, np.float32),
    ],
)
def test_odd_frames_give_an_image(values, pattern):
    found = develop(values, pattern)
    assert found.pixels.dtype == np.uint8 and found.pixels.ndim == 3
    assert np.isfinite([*found.record["sky"], *found.record["noise"], *found.record["factors"]]).all()


def test_an_all_zero_or_saturated_frame_is_dark_everywhere():
    for value in (0, 65535):
        pixels = develop(np.full((40, 50), value, np.uint16), "RGGB").pixels
        assert np.ptp(pixels) == 0 and pixels.max() < 50


def test_gaps_and_borders_leave_the_rest_as_it_is():
    linear = frame()
    holes = linear.copy()
    holes[100:104, 50:60], holes[7, 9] = np.nan, np.inf
    framed = np.zeros((540, 700))
    framed[30:510, 20:660] = linear
    whole = develop(linear, "RGGB").pixels.astype(int)
    assert np.median(np.abs(develop(holes, "RGGB").pixels - whole)) <= 1
    assert np.median(np.abs(develop(framed, "RGGB").pixels[15:255, 10:330] - whole)) <= 2


def test_what_is_not_a_frame_is_refused():
    for values, pattern in ((np.zeros((4, 4, 2)), None), (np.zeros((4, 4, 3)), "RGGB"), (np.zeros(4), None)):
        with pytest.raises(ValueError):
            develop(values, pattern)
    with pytest.raises(ValueError, match="real"):
        develop(np.zeros((4, 4), complex))
