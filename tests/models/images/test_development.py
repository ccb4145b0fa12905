"""Images of more than 8 bits.

The default stretch by noise, the optional ones, and invalid levels.
"""

import json

import numpy as np
import pytest
from galaxy_edge.models.images.decoder import decode_image
from galaxy_edge.models.images.development import Development, develop_image
from galaxy_edge.models.images.frame_type import CalibrationFrameError
from galaxy_edge.models.images.stretch import to_rgb8
from galaxy_edge.models.raw.front_end import develop
from galaxy_edge.models.raw.stretch import Stretch
from helpers.images import encode
from helpers.mosaics import fits_file, mosaic_of, scene

SCENE = scene()
MOSAIC = mosaic_of(SCENE)
GREY = np.rint(SCENE[..., 1]).astype(np.uint16)


@pytest.mark.parametrize("image, cfa", [
    (MOSAIC, "GRBG"), (GREY, None), (SCENE.astype(np.float32), None), (GREY.astype(np.float64), None),
])  # fmt: skip
def test_default_is_the_front_end_s_image(image, cfa):
    """Training, evaluation and the runtime must see the same pixels."""
    for stretch in (Stretch(), Stretch(1.0, 5.0, 100.0)):
        found = develop_image(image, cfa, Development(stretch=stretch))
        assert np.array_equal(found.pixels, develop(image, cfa, stretch).pixels)
        assert {key: found.stretch[key] for key in stretch.manifest()} == stretch.manifest()


def test_gain_and_offset_do_not_change_the_image():
    """Exposure time, gain and pedestal differ from night to night."""
    plain = develop_image(MOSAIC, "GRBG").pixels.astype(int)
    changed = develop_image(MOSAIC.astype(np.float32) * 7.5 + 300, "GRBG").pixels.astype(int)
    assert np.abs(plain - changed).max() <= 1


def test_linear_stretch_goes_from_minimum_to_maximum():
    """Linear stretch is for frames that another program has stretched."""
    found = develop_image(GREY, None, Development("none"))
    low, high = int(GREY.min()), int(GREY.max())
    assert found.stretch == {"kind": "linear", "black": low, "white": high}
    expected = 255 * (GREY.astype(float) - low) / (high - low)
    assert np.abs(found.pixels[..., 0] - expected).max() <= 0.51


def test_percentile_stretch_is_that_of_earlier_versions():
    """Results of earlier runs can be repeated."""
    found = develop_image(GREY, None, Development("percentile"))
    pixels, stretch = to_rgb8(GREY)
    assert np.array_equal(found.pixels, pixels) and found.stretch == stretch


@pytest.mark.parametrize("kind", ["none", "percentile"])
def test_other_stretches_of_a_mosaic_use_superpixels(kind):
    """Whatever the stretch, a mosaic is never shown in grey."""
    found = develop_image(MOSAIC, "GRBG", Development(kind))
    assert found.pixels.shape == (64, 80, 3) and found.binning == 2
    assert len(found.planes) == 3 and found.stretch["pattern"] == "GRBG"


def test_unknown_stretch_is_refused():
    """A typing error must not run with another stretch."""
    with pytest.raises(ValueError, match="unknown stretch 'log'"):
        Development("log")


@pytest.mark.parametrize("level", [0, 65535])
@pytest.mark.parametrize("kind", ["auto", "none", "percentile"])
def test_one_level_all_over_is_an_even_image_with_a_remark(level, kind):
    """A closed cover and a frame at dusk have no noise to stretch by."""
    content = fits_file(np.full((64, 80), level, np.uint16), BAYERPAT="RGGB")
    with np.errstate(all="raise"):
        image = decode_image(content, "x.fits", Development(kind))
    assert np.ptp(image.pixels) == 0 and image.pixels.shape == (32, 40, 3)
    assert image.remarks == (f"every pixel has the same level, {level}: a closed cover, or saturation",)


@pytest.mark.parametrize("kind", ["auto", "none", "percentile"])
def test_values_that_are_not_finite_change_nothing_elsewhere(kind):
    """Calibrated frames have NaN where the detector is dead."""
    data = GREY.astype(np.float32)
    data[5, 7], data[6, 7], data[90:, :3] = np.nan, np.inf, -np.inf
    image = decode_image(fits_file(data), "x.fits", Development(kind))
    assert np.array_equal(np.isnan(image.raw), ~np.isfinite(data)) and np.ptp(image.pixels) > 100
    assert np.isfinite(image.planes[0]).all()
    json.dumps(image.stretch, allow_nan=False)


@pytest.mark.parametrize("height, width", [(64, 80), (65, 81), (17, 16), (16, 33)])
def test_odd_and_small_sizes_are_developed(height, width):
    """Regions of interest have any size."""
    image = decode_image(fits_file(mosaic_of(scene(height, width)), BAYERPAT="GRBG"), "x.fits")
    assert image.pixels.shape == (height // 2, width // 2, 3) and image.raw.shape == (height, width)


def test_png_of_16_bits_is_developed_like_fits():
    """The container must not decide what the network sees."""
    assert np.array_equal(decode_image(encode(GREY), "x.png").pixels, decode_image(fits_file(GREY), "x.fits").pixels)


@pytest.mark.parametrize("key, value, kind", [
    ("IMAGETYP", "Dark Frame", "dark"), ("IMAGETYP", "DARK", "dark"), ("FRAME", "Bias", "bias"),
    ("IMAGETYP", "FLAT", "flat"), ("IMAGETYP", "Flat Field", "flat"), ("FRAME", "Dark", "dark"),
    ("IMAGETYP", "DARKFLAT", "flat"), ("IMAGETYP", "zero", "bias"), ("IMAGETYP", "Master Dark", "dark"),
])  # fmt: skip
def test_calibration_frames_are_refused_with_their_kind(key, value, kind):
    """Hot pixels of a dark and dust of a flat are not galaxies."""
    with pytest.raises(CalibrationFrameError, match=f"it is a {kind} frame, not a light \\({key} = '{value}'\\)"):
        decode_image(fits_file(GREY, **{key: value}), "x.fits")


@pytest.mark.parametrize("cards", [
    {"IMAGETYP": "Light Frame"}, {"IMAGETYP": "LIGHT"}, {"FRAME": "Light"}, {"IMAGETYP": "object"}, {"FRAME": 12},
    {"IMAGETYP": ""}, {"OBJECT": "Dark nebula B33"},
])  # fmt: skip
def test_lights_are_read(cards):
    """Only what says that it is a calibration frame is skipped."""
    assert decode_image(fits_file(GREY, **cards), "x.fits").raw is not None
