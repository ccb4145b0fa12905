"""Every supported kind of image is converted to RGB.

Unsupported and damaged ones are refused with the reason.
"""

import signal
import struct

import numpy as np
import pytest
from galaxy_edge.errors import ImageError
from galaxy_edge.models.images.decoder import decode_image
from galaxy_edge.models.images.stretch import to_rgb8
from helpers.images import encode, encode_palette_png, png_chunk, render
from helpers.mosaics import scene

SKY = render([(40, 30, 6)], 80, 60)


def png_header(width, height):
    """A PNG that claims a size and holds nothing.

    What a bomb looks like before it is unpacked.
    """
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_rgb_survives_to_the_bit(suffix):
    colour = SKY.copy()
    colour[..., 2] //= 2
    assert np.array_equal(decode_image(encode(colour, suffix), "sky" + suffix).pixels, colour)


def test_jpeg_keeps_channel_order():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    assert decode_image(encode(red, ".jpg"), "red.jpg").pixels[16, 16] == pytest.approx([200, 0, 0], abs=3)


def test_grey_becomes_three_equal_channels():
    image = decode_image(encode(SKY[..., 0]), "grey.png")
    assert np.array_equal(image.pixels, SKY)
    assert image.stretch is None


def test_transparency_is_laid_over_black():
    rgba = np.dstack([SKY, np.full(SKY.shape[:2], 255, np.uint8)])
    rgba[:30, :, 3] = 0  # the upper half is transparent, whatever colour lies under it
    pixels = decode_image(encode(rgba), "rgba.png").pixels
    assert pixels[:30].max() == 0
    assert np.array_equal(pixels[30:], SKY[30:])


def test_palette_becomes_its_colours():
    assert decode_image(encode_palette_png(np.ones((20, 20), int), [(0, 0, 0), (255, 0, 0)]), "palette.png").pixels[
        5, 5
    ].tolist() == [255, 0, 0]


def test_16_bit_is_stretched_and_the_stretch_is_recorded():
    deep = (SKY[..., 0].astype(np.uint16) * 40) + 1000
    image = decode_image(encode(deep), "deep.png")
    assert image.pixels.dtype == np.uint8 and image.pixels.shape == (60, 80, 3)
    assert image.stretch is not None and image.stretch["kind"] == "asinh-noise"
    assert image.stretch["black"] < image.stretch["white"]
    assert image.pixels[30, 40, 0] == image.pixels.max() > image.pixels[2, 2, 0] + 40


def test_stretch_keeps_the_order_of_levels():
    ramp = np.linspace(0, 60000, 64 * 64).reshape(64, 64).astype(np.uint16)
    levels, _ = to_rgb8(ramp)
    assert (np.diff(levels[..., 0].ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize("flat", [np.zeros((20, 20), np.uint16), np.full((20, 20), 7.5, np.float32)])
def test_flat_images_are_stretched_without_dividing_by_zero(flat):
    with np.errstate(all="raise"):
        assert to_rgb8(flat)[0].shape == (20, 20, 3)


def test_values_that_are_not_finite_become_black():
    data = np.full((20, 20), 100.0, np.float32)
    data[10:] = 200.0
    data[0, 0], data[0, 1] = np.nan, -np.inf
    pixels, _ = to_rgb8(data)
    assert pixels[0, 0].tolist() == [0, 0, 0] and pixels[0, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is plain text and not an image", "not a PNG, JPEG, TIFF, BMP or FITS image"),
        (encode(SKY, ".jpg")[:-300], "truncated"),  # OpenCV would return it with a grey bottom
        (encode(SKY, ".jpg")[:20], "truncated"),
        (encode(SKY)[:-40], "truncated"),
        (b"\x89PNG\r\n\x1a\nIEND\xaeB`\x82", "header is missing"),  # sixteen bytes, an end and no beginning
        (encode(SKY, ".tiff")[:9], "truncated"),
        (encode(SKY)[:60] + b"\xff" * 60 + encode(SKY)[120:], "damaged"),
        (encode(SKY[:1, :1]), "1x1 pixels is too small"),
        (png_header(40000, 100), "40000x100 pixels is too large"),
        (png_header(30000, 30000), "30000x30000 pixels is too large"),
    ],
)
def test_bad_images_say_what_is_wrong(content, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        decode_image(content, "bad.jpg")
    assert str(caught.value).startswith("bad.jpg: ")


def test_a_thumbnail_does_not_pass_for_the_end_of_a_truncated_jpeg():
    whole = encode(SKY, ".jpg")
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(whole)) + whole  # an application segment with a JPEG in it
    with pytest.raises(ImageError, match="truncated"):
        decode_image(whole[:2] + thumbnail + whole[2:-200], "exif.jpg")
    assert decode_image(whole[:2] + thumbnail + whole[2:], "exif.jpg").pixels.shape == SKY.shape


def test_any_cut_or_flipped_byte_gives_an_image_or_a_reason():
    # Whatever reaches the decoder, nothing but BadPicture may come out of it.
    rng = np.random.default_rng(3)
    for suffix in (".jpg", ".png", ".tiff"):
        whole = encode(SKY, suffix)
        for _ in range(150):
            broken = bytearray(whole[: rng.integers(1, len(whole) + 1)])
            for index in rng.integers(0, len(broken), rng.integers(0, 4)):
                broken[index] = rng.integers(0, 256)
            try:
                pixels = decode_image(bytes(broken), "x" + suffix).pixels
            except ImageError:
                continue
            assert pixels.dtype == np.uint8 and pixels.ndim == 3


# FITS


@pytest.fixture
def fits():
    return pytest.importorskip("astropy.io.fits", reason="needs astropy (the fits extra)")


def fits_bytes(fits, *units):
    import io

    stream = io.BytesIO()
    fits.HDUList(list(units)).writeto(stream)
    return stream.getvalue()


def test_fits_is_stretched_and_its_keywords_are_kept(fits):
    unit = fits.PrimaryHDU((SKY[..., 0].astype(np.uint16) * 100).astype(">u2"))
    unit.header["DATE-OBS"] = "2026-11-20T21:04:05.250"
    unit.header["EXPTIME"] = 30.0
    image = decode_image(fits_bytes(fits, unit), "m31.fits")
    assert image.stretch is not None
    assert image.header["EXPTIME"] == 30.0
    assert image.time is not None and image.time.isoformat() == "2026-11-20T21:04:05.250000+00:00"
    assert image.pixels[30, 40, 0] == image.pixels.max() > image.pixels[5, 5, 0]


def test_fits_colour_planes_become_channels(fits):
    planes = np.moveaxis(scene(60, 80), 2, 0).astype(np.float32)
    pixels = decode_image(fits_bytes(fits, fits.PrimaryHDU(planes)), "rgb.fits").pixels
    assert pixels.shape == (60, 80, 3)
    assert pixels[30, 40, 0] > pixels[30, 40, 1] > pixels[30, 40, 2]
    assert abs(int(pixels[:10, :, 0].mean()) - int(pixels[:10, :, 2].mean())) <= 3  # the sky becomes neutral


def test_fits_image_in_an_extension_is_found(fits):
    content = fits_bytes(fits, fits.PrimaryHDU(), fits.ImageHDU(SKY[..., 0].astype(np.float32)))
    assert decode_image(content, "x.fits").pixels.shape == (60, 80, 3)


@pytest.mark.parametrize("kind", ["no data", "table", "truncated", "text", "cut header", "thin"])
def test_bad_fits_says_what_is_wrong(fits, kind):
    whole = fits_bytes(fits, fits.PrimaryHDU(np.ones((400, 400), np.float32)))
    content = {
        "no data": lambda: fits_bytes(fits, fits.PrimaryHDU()),
        "table": lambda: fits_bytes(
            fits, fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])
        ),
        "truncated": lambda: whole[: len(whole) // 2],
        "text": lambda: b"hello, this is not FITS",
        "cut header": lambda: whole[:200],
        "thin": lambda: fits_bytes(fits, fits.PrimaryHDU(np.ones((1, 50), np.float32))),
    }[kind]()
    reason = {
        "no data": "contains no image of 2 axes",
        "table": "contains no image of 2 axes",
        "thin": "50x1 pixels is too small",
    }.get(kind, "truncated or damaged")
    with pytest.raises(ImageError, match=reason):
        decode_image(content, "bad.fits")


def card(content, key, value):
    """Write another value into the card of a FITS header."""
    at = content.index(f"{key:8}=".encode())
    return content[:at] + f"{key:8}= {value:>20}".ljust(80).encode() + content[at + 80 :]


@pytest.fixture
def packed(fits):
    """A tile-compressed image."""
    return fits_bytes(fits, fits.PrimaryHDU(), fits.CompImageHDU(np.arange(80 * 60, dtype=np.int16).reshape(60, 80)))


@pytest.fixture
def in_time():
    """Limit a test to ten seconds.

    A decoder without the header check would never return.
    """

    def late(*_):
        raise TimeoutError("the decoder did not come back")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    yield
    signal.alarm(0)


@pytest.mark.parametrize(("key", "value", "reason"), [
    ("TFIELDS", "999999999", "TFIELDS = 999999999"),  # astropy makes a column of each
    ("NAXIS1", "-8", "NAXIS1 = -8"),
    ("PCOUNT", "1   154", "PCOUNT = '1   154'"),
    ("PCOUNT", "1" + "0" * 15, "bytes are missing"),
    ("TFORM1", "'x'", "TFORM1"),
    ("ZBITPIX", "7", "truncated or damaged"),
    ("ZNAXIS1", "999999", "too large"),
])  # fmt: skip
def test_nonsense_in_the_header_of_a_compressed_fits_is_a_bad_image(packed, in_time, key, value, reason):
    at = packed.index(b"XTENSION")
    with pytest.raises(ImageError, match=reason) as caught:
        decode_image(packed[:at] + card(packed[at:], key, value), "tiles.fits")
    assert "\n" not in str(caught.value)


def test_a_damaged_unit_behind_the_image_does_not_matter(fits, packed, in_time):
    image = fits_bytes(fits, fits.PrimaryHDU(SKY[..., 0].astype(np.float32)))
    behind = packed[packed.index(b"XTENSION") :]
    for content in (image + card(behind, "TFIELDS", "999999999"), image + behind[:-3000], image + b"notes"):
        assert decode_image(content, "x.fits").pixels.shape == (60, 80, 3)


def test_any_damage_to_a_compressed_fits_gives_an_image_or_a_reason(packed, in_time):
    # astropy raises RuntimeError, AttributeError and its own CfitsioException in addition to what it documents.
    rng = np.random.default_rng(4)
    raised = 0
    for _ in range(60):
        broken = bytearray(packed)
        for index in rng.integers(2880, len(broken), 30):
            broken[index] = rng.integers(0, 256)
        try:
            decode_image(bytes(broken), "x.fits")
        except ImageError:
            raised += 1
    assert raised > 20
