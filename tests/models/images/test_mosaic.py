"""Bayer mosaics in FITS files.

Keywords of capture programs, invalid keywords and missing ones.
"""

import cv2
import numpy as np
import pytest
from galaxy_edge.models.images.decoder import decode_image
from galaxy_edge.models.images.development import Development
from galaxy_edge.models.images.frame_type import CalibrationFrameError
from galaxy_edge.models.images.mosaic import pattern_from_levels
from galaxy_edge.models.raw.bayer import PATTERNS
from helpers.mosaics import fits_file, mosaic_of, scene

SCENE = scene()


def is_reddish(image):
    """Return whether the blob in the middle has the colour of the scene's."""
    red, green, blue = (int(level) for level in image.pixels[32, 40])
    return red > green > blue


def decode(data, **cards):
    return decode_image(fits_file(data, **cards), "m31.fits")


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("key", ["BAYERPAT", "COLORTYP"])
@pytest.mark.parametrize("lower", [False, True])
def test_mosaic_becomes_superpixels_of_its_colours(pattern, key, lower):
    """Capture programs differ in the keyword and in its case."""
    mosaic = mosaic_of(SCENE, pattern)
    image = decode(mosaic, **{key: pattern.lower() if lower else pattern})
    assert image.pixels.shape == (64, 80, 3) and image.binning == 2 and image.cfa == pattern
    assert np.array_equal(image.raw, mosaic) and is_reddish(image) and image.remarks == ()
    assert [plane.shape for plane in image.planes] == [(64, 80)] * 3
    assert image.stretch["pattern"] == pattern and image.stretch["binning"] == 2


@pytest.mark.parametrize("cards, pattern", [
    ({"BAYERPAT": "RGGB", "XBAYROFF": 1, "YBAYROFF": 0}, "GRBG"),
    ({"BAYERPAT": "RGGB", "XBAYROFF": 0, "YBAYROFF": 1.0}, "GBRG"),
    ({"BAYERPAT": "RGGB", "XBAYROFF": "1", "YBAYROFF": "1"}, "BGGR"),
    ({"BAYERPAT": "RGGB", "ROWORDER": "BOTTOM-UP"}, "GBRG"),
    ({"BAYERPAT": "RGGB", "ROWORDER": "TOP-DOWN"}, "RGGB"),
    ({"BAYERPAT": "RGGB", "XBAYROFF": "left"}, "RGGB"),
])  # fmt: skip
def test_offsets_and_row_order_shift_the_pattern(cards, pattern):
    """A pattern shifted by a pixel swaps red and blue, or mixes both with green."""
    image = decode(mosaic_of(SCENE, pattern), **cards)
    assert image.cfa == pattern and is_reddish(image)


def test_row_order_of_an_odd_height_leaves_the_pattern():
    """From its last row upwards a mosaic of odd height begins with the same pattern."""
    image = decode(mosaic_of(SCENE[:127], "RGGB"), BAYERPAT="RGGB", ROWORDER="BOTTOM-UP")
    assert image.cfa == "RGGB" and image.pixels.shape == (63, 80, 3) and is_reddish(image)


@pytest.mark.parametrize("text", ["XYZW", "RGBG", "7", "CYMG"])
def test_nonsense_keyword_is_read_by_the_levels_with_a_remark(text):
    """A grey mosaic would be shown to the networks as a checkerboard, silently."""
    image = decode(mosaic_of(SCENE, "GRBG"), BAYERPAT=text)
    assert image.cfa == "GRBG" and is_reddish(image)
    assert len(image.remarks) == 1 and f"BAYERPAT = '{text}' is not a Bayer pattern" in image.remarks[0]


def test_nonsense_keyword_of_a_mono_image_is_read_as_mono():
    """Some programs write the keyword for every camera."""
    image = decode(np.rint(SCENE[..., 1]).astype(np.uint16), BAYERPAT="XYZW")
    assert image.cfa is None and image.pixels.shape == (128, 160, 3) and "read as mono" in image.remarks[0]


@pytest.mark.parametrize("text", ["", "NONE", "MONO"])
def test_keyword_that_names_none_is_not_worth_a_remark(text):
    """Mono cameras write it in this way."""
    image = decode(np.rint(SCENE[..., 1]).astype(np.uint16), BAYERPAT=text)
    assert image.cfa is None and image.remarks == () and image.binning == 1


def test_header_without_any_keyword_is_read_by_the_levels():
    """Some programs write no pattern; the two greens of a cell give the mosaic away."""
    image = decode(mosaic_of(SCENE, "GBRG"))
    assert image.cfa == "GRBG" and image.binning == 2 and "names no Bayer pattern" in image.remarks[0]


def test_debayered_image_that_kept_its_keyword_is_read_as_rgb():
    """Stacking programs copy the header of the raw frames."""
    planes = np.moveaxis(np.rint(SCENE), 2, 0).astype(np.uint16)
    image = decode(planes, BAYERPAT="RGGB")
    assert image.cfa is None and image.pixels.shape == (128, 160, 3) and "three colours already" in image.remarks[0]


def test_binned_mosaic_that_lost_its_colours_is_mono():
    """Binning of 2 adds the four colours of a cell."""
    binned = mosaic_of(SCENE, "RGGB").reshape(64, 2, 80, 2).mean(axis=(1, 3)).astype(np.uint16)
    image = decode(binned, BAYERPAT="RGGB", XBINNING=2, YBINNING=2)
    assert image.cfa is None and image.pixels.shape == (64, 80, 3) and "read as mono" in image.remarks[0]


def test_binned_mosaic_that_kept_its_colours_is_a_mosaic():
    """Some cameras bin pixels of the same colour."""
    image = decode(mosaic_of(SCENE, "RGGB"), BAYERPAT="RGGB", XBINNING=2, YBINNING=2)
    assert image.cfa == "RGGB" and is_reddish(image)


def test_mosaic_of_8_bits_is_developed():
    """A mosaic of any depth is not a processed image."""
    image = decode((mosaic_of(SCENE, "RGGB") / 30).astype(np.uint8), BAYERPAT="RGGB")
    assert image.pixels.shape == (64, 80, 3) and image.stretch["kind"] == "asinh-noise"


def test_image_of_8_bits_stays_as_it_is():
    """Processed images must give the same pixels as before."""
    grey = (SCENE[..., 1] / 30).astype(np.uint8)
    image = decode(grey)
    assert np.array_equal(image.pixels, np.repeat(grey[..., None], 3, 2))
    assert image.stretch is image.raw is image.planes is None


@pytest.mark.parametrize("make", [
    lambda rng: rng.normal(1000, 20, (200, 300)),
    lambda rng: rng.normal(1000, 1, (200, 300)).round(),  # a level of whole numbers is as coarse as the noise
    lambda rng: rng.normal(1000, 20, (200, 300)) + 40 * (np.arange(200) % 2)[:, None],  # rows of the readout
    lambda rng: rng.normal(1000, 20, (200, 300)) + 40 * (np.arange(300) % 2)[None],
    lambda rng: rng.normal(1000, 5, (200, 300)) + np.arange(300)[None] * 10 + np.arange(200)[:, None] * 10,
    lambda rng: np.zeros((200, 300)),
    lambda rng: np.where(rng.random((200, 300)) < 0.01, 5000.0, 0.0),
    lambda rng: np.full((200, 300), np.nan),
])  # fmt: skip
def test_mono_images_are_not_taken_for_mosaics(make):
    """Half the size would be lost."""
    for seed in range(10):
        assert pattern_from_levels(make(np.random.default_rng(seed))) is None


@pytest.mark.parametrize("card", [
    "CCD-TEMP=                  nan / deg", "EXPTIME =                 30,5 / locale", "OBJECT  = M 31 Andromeda",
    "TESTVERI= '2017/02/13-16:51:38 / no end", "GAIN    =                 1.#IND / NaN of Windows",
])  # fmt: skip
def test_card_that_cannot_be_parsed_leaves_the_others_readable(card):
    """Programs write such cards; the pixels and the pattern are sound."""
    content = fits_file(mosaic_of(SCENE, "RGGB"), BAYERPAT="RGGB", UNUSED="x" * 60)
    start = content.index(b"UNUSED  =")
    image = decode_image(content[:start] + card.encode().ljust(80) + content[start + 80 :], "x.fits")
    assert image.cfa == "RGGB" and is_reddish(image) and image.header["BAYERPAT"] == "RGGB"


@pytest.mark.parametrize("text", ["GR/BG", "SGRBG16", "BAYER_GR8", "sgrbg10p", "CFA GRBG"])
def test_names_of_formats_are_understood(text):
    """V4L2, GenICam and ASCOM name the pattern in their own ways."""
    image = decode(mosaic_of(SCENE, "GRBG"), BAYERPAT=text)
    assert image.cfa == "GRBG" and image.remarks == ()


@pytest.mark.parametrize(
    ("keyword", "value", "remark"),
    [
        ("XBAYROFF", "abc", "XBAYROFF = 'abc' is not a number and counts as 0"),
        ("YBAYROFF", "one", "YBAYROFF = 'one' is not a number and counts as 0"),
        ("ROWORDER", "SIDEWAYS", "ROWORDER = 'SIDEWAYS' is neither TOP-DOWN nor BOTTOM-UP"),
    ],
)
def test_keyword_of_the_first_pixel_that_cannot_be_read_has_a_remark(keyword, value, remark):
    image = decode(mosaic_of(SCENE, "GRBG"), BAYERPAT="GRBG", **{keyword: value})
    assert image.cfa == "GRBG" and len(image.remarks) == 1 and image.remarks[0].startswith(remark)


def test_missing_part_of_an_image_has_a_remark():
    values = np.random.default_rng(1).normal(1000, 30, (200, 300)).astype(np.float32)
    values[:40] = np.nan
    assert decode(values).remarks == ("about 20% of the pixels are not finite numbers and count as black",)


def test_keyword_that_contradicts_the_levels_is_corrected_with_a_remark():
    """A wrong row order or offset puts green where red and blue are.

    The image would be magenta and noisy.
    """
    image = decode(mosaic_of(SCENE, "GBRG"), BAYERPAT="RGGB")
    assert image.cfa == "GBRG" and "BAYERPAT = 'RGGB' contradicts the levels" in image.remarks[0]


def test_debayered_grey_image_with_a_pattern_is_read_as_mono():
    """Programs copy the keyword into what they have debayered."""
    grey = cv2.GaussianBlur(np.random.default_rng(1).normal(1000, 30, (200, 300)), (3, 3), 0.8)
    image = decode(np.rint(grey).astype(np.uint16), BAYERPAT="RGGB")
    assert image.cfa is None and "debayered; it is read as mono" in image.remarks[0]
    noise = np.random.default_rng(1).normal(1000, 30, (200, 300)).astype(np.uint16)
    assert decode(noise, BAYERPAT="RGGB").cfa == "RGGB", "a grey sky shows no pattern, but is a mosaic"


@pytest.mark.parametrize("key", ["IMAGETYP", "OBSTYPE", "FRAME"])
def test_calibration_frame_is_refused_by_every_keyword(key):
    with pytest.raises(CalibrationFrameError, match="it is a flat frame"):
        decode(mosaic_of(SCENE, "RGGB"), **{key: "Flat Field"})


def test_frames_without_signal_are_named():
    """Saturated, or without any number."""
    saturated = np.random.default_rng(1).integers(900, 1100, (100, 100)).astype(np.uint16)
    saturated[:60] = 65535
    assert decode(saturated).remarks == ("about 60% of the pixels have the highest level, 65535: they are saturated",)
    assert "almost no pixel" in decode(np.full((64, 64), np.nan, np.float32)).remarks[0]


def test_colours_are_interpolated_on_request():
    """At the frame's full size, in pixels of the source."""
    content = fits_file(mosaic_of(SCENE, "RGGB"), BAYERPAT="RGGB")
    image = decode_image(content, "m31.fits", Development(full_size=True))
    assert image.pixels.shape == (128, 160, 3) and image.binning == 1 and image.stretch["binning"] == 1
    red, green, blue = (int(level) for level in image.pixels[64, 80])
    assert red > green > blue


def test_masked_pixels_stay_masked_in_the_raw_values():
    """A stack leaves them out; as zeros they would be dark spots in its mean."""
    values = mosaic_of(SCENE, "RGGB").astype(np.float32)
    values[10:20, 10:20] = np.inf
    image = decode(values, BAYERPAT="RGGB")
    assert np.isnan(image.raw[10:20, 10:20]).all() and np.isnan(image.raw).sum() == 100
    assert all(np.isfinite(plane).all() for plane in image.planes)


@pytest.mark.parametrize(("old", "new"), [
    ("UNUSED  =", "CONTINUE  'of nothing&'"), ("UNUSED  =", "BSCALE  =                  nan"),
    ("UNUSED  =", "BLANK   =                  nan"), ("UNUSED  =", "BLANK   = 'none    '"),
    ("UNUSED  =", "BSCALE  = '1,0     '"), ("BZERO   =", "BZERO   =              32768,0"),
    ("BZERO   =", "BZERO   = '32768   '"),
])  # fmt: skip
def test_scales_and_continuations_that_cannot_be_parsed_lose_no_pixel(old, new):
    """Such a card made the whole file "truncated or damaged"."""
    values = mosaic_of(SCENE, "RGGB")
    content = fits_file(values, UNUSED="x" * 60)
    start = content.index(old.encode())
    image = decode_image(content[:start] + new.encode().ljust(80) + content[start + 80 :], "x.fits")
    assert np.array_equal(image.raw, values)
