"""Bayer patterns, superpixels and hot pixels, compared with plain Python.

The implementations compared with are slow.
"""

import numpy as np
import pytest
from galaxy_edge.models.raw.bayer import (
    PATTERNS,
    debayer,
    parse_pattern,
    replace_hot_pixels,
    superpixel_planes,
    superpixels,
    without_hot_pixels,
)


def mosaic_of(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """Sample an RGB image (H, W, 3) by a pattern, pixel by pixel."""
    height, width = rgb.shape[:2]
    result = np.empty((height, width), rgb.dtype)
    for y in range(height):
        for x in range(width):
            result[y, x] = rgb[y, x, "RGB".index(pattern[2 * (y % 2) + x % 2])]
    return result


def test_mean_of_greens_stays_in_whole_levels_where_the_noise_is_many():
    mosaic = np.random.default_rng(2).normal(60_000, 3_000, (60, 80)).clip(0, 65_535).astype(np.uint16)
    (_, green, _), _ = superpixel_planes(mosaic, "GRBG", hot_pixels=False)
    exact = (mosaic[::2, ::2].astype(float) + mosaic[1::2, 1::2]) / 2
    assert green.dtype == np.uint16 and (green <= exact).all() and (green >= exact - 1).all()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_superpixels_are_the_colours_of_each_cell(pattern, kind):
    rng = np.random.default_rng(1)
    mosaic = rng.integers(0, 12, (10, 12)).astype(kind)
    found = superpixels(mosaic, pattern, hot_pixels=False)
    assert found.shape == (5, 6, 3) and found.dtype == np.float32
    for y in range(5):
        for x in range(6):
            cell = mosaic[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].reshape(4).astype(float)
            means = {
                colour: np.mean([v for v, p in zip(cell, pattern, strict=True) if p == colour]) for colour in "RGB"
            }
            assert np.allclose(found[y, x], [means["R"], means["G"], means["B"]])


def test_odd_sides_leave_out_the_last_row_and_column():
    mosaic = np.arange(7 * 9, dtype=np.uint16).reshape(7, 9)
    assert np.array_equal(superpixels(mosaic, "RGGB"), superpixels(mosaic[:6, :8].copy(), "RGGB"))


def test_bright_greens_do_not_overflow():
    assert superpixels(np.full((4, 4), 65535, np.uint16), "RGGB").max() == 65535


@pytest.mark.parametrize(
    ("text", "kwargs", "expected"),
    [
        ("grbg", {}, "GRBG"),
        (" 'RGGB '", {}, "RGGB"),
        ("RGGB", {"x_offset": 1}, "GRBG"),
        ("RGGB", {"y_offset": 1}, "GBRG"),
        ("RGGB", {"x_offset": 1, "y_offset": 3}, "BGGR"),
        ("RGGB", {"bottom_up": True, "height": 8}, "GBRG"),
        ("RGGB", {"bottom_up": True, "height": 7}, "RGGB"),
    ],
)
def test_pattern_of_the_first_pixels(text, kwargs, expected):
    assert parse_pattern(text, **kwargs) == expected


@pytest.mark.parametrize("text", ["", "RGB", "RGBG", "TRUE", "0", "CYGM"])
def test_nonsense_is_not_a_pattern(text):
    with pytest.raises(ValueError, match="not a Bayer pattern"):
        parse_pattern(text)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_debayering_gives_a_smooth_scene_back(pattern):
    y, x = np.mgrid[:32, :40]
    scene = np.stack([1000 + 5 * x, 2000 + 3 * y, 500 + 2 * x + y], axis=2).astype(np.uint16)
    found = debayer(mosaic_of(scene, pattern), pattern)
    assert np.abs(found[2:-2, 2:-2].astype(int) - scene[2:-2, 2:-2]).max() <= 3


def test_debayering_floats_is_debayering_their_16_bits():
    rng = np.random.default_rng(2)
    whole = rng.integers(0, 65536, (16, 16)).astype(np.uint16)
    whole[0, 0], whole[0, 1] = 0, 65535
    floats = debayer((whole / 65535).astype(np.float32), "RGGB", hot_pixels=False)
    assert np.allclose(floats * 65535, debayer(whole, "RGGB", hot_pixels=False), atol=0.6)


def test_a_hot_pixel_goes_and_a_star_stays():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:60, :60]
    plane = rng.normal(800, 20, (60, 60))
    plane += 3000 * np.exp(-((x - 20.3) ** 2 + (y - 30.1) ** 2) / (2 * 0.7**2))
    plane[10, 40] += 5000
    plane[0, 0] += 5000
    plane = plane.astype(np.uint16)
    found, count = replace_hot_pixels(plane)
    assert count == 2
    assert abs(int(found[10, 40]) - 800) < 80 and abs(int(found[0, 0]) - 800) < 80
    assert np.array_equal(found[25:36, 15:26], plane[25:36, 15:26])


@pytest.mark.parametrize("shape", [(61, 60), (60, 61), (3, 3), (4, 5)])
@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_hot_pixels_of_every_row_and_column_go(shape, kind):
    """Rows are compared in pairs.

    Neither the first nor the last of an odd number is left out.
    """
    sky = np.random.default_rng(5).normal(800, 20, shape).astype(kind)
    for y in {0, 1, shape[0] // 2, shape[0] - 2, shape[0] - 1}:
        for x in {0, 1, shape[1] - 2, shape[1] - 1}:
            plane = sky.copy()
            plane[y, x] += 5000
            found, count = replace_hot_pixels(plane)
            assert count == 1 and abs(float(found[y, x]) - 800) < 80
            found[y, x] = sky[y, x]
            assert np.array_equal(found, sky)


def test_hot_pixels_are_judged_by_their_own_colour():
    """In a coloured sky, neighbours of other colours are no reference for a pixel."""
    rng = np.random.default_rng(4)
    mosaic = rng.normal(500, 10, (64, 64))
    mosaic[0::2, 0::2] += 3000
    hot = mosaic.copy()
    hot[21, 33] += 2000
    found = without_hot_pixels(hot.astype(np.uint16))
    assert abs(int(found[21, 33]) - 500) < 60
    found[21, 33] = mosaic.astype(np.uint16)[21, 33]
    assert np.array_equal(found, mosaic.astype(np.uint16))


@pytest.mark.parametrize(
    "plane", [np.zeros((20, 20), np.uint16), np.full((20, 20), 65535, np.uint16), np.zeros((2, 5), np.float32)]
)
def test_flat_and_tiny_planes_are_left_alone(plane):
    found, count = replace_hot_pixels(plane)
    assert count == 0 and np.array_equal(found, plane)


def test_shapes_that_are_not_a_mosaic():
    with pytest.raises(ValueError, match="mosaic"):
        superpixels(np.zeros((4, 4, 3), np.uint16), "RGGB")
    with pytest.raises(ValueError, match="mosaic"):
        superpixels(np.zeros((1, 4), np.uint16), "RGGB")
