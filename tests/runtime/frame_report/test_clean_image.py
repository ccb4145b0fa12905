"""Images for a report keep their pixels and lose all else."""

import io

import cv2
import numpy as np
import pytest
from galaxy_edge.errors import ImageError
from galaxy_edge.models.images.decoder import decode_image
from galaxy_edge.runtime.frame_report.clean_image import clean_image
from helpers.images import add_exif_orientation, encode, encode_tiff, png_chunk, render

SECRET = b"Kirchberg-Q7x9"
SKY = render([(60, 40, 12)], 160, 120)


def segment(marker, data):
    return bytes([0xFF, marker]) + (len(data) + 2).to_bytes(2) + data


def hostile_jpeg(suffix_options=()):
    """Return a JPEG with secrets wherever a writer may put them."""
    _, plain = cv2.imencode(".jpg", SKY, suffix_options)
    content = add_exif_orientation(plain.tobytes(), 6)
    parts = [segment(0xE1, b"Exif\0\0" + SECRET), segment(0xE0, b"JFXX\0" + SECRET), segment(0xE2, SECRET),
             segment(0xED, SECRET), segment(0xFE, SECRET), segment(0xEE, b"Adobe" + SECRET)]  # fmt: skip
    first = content.index(b"\xff\xdb")
    return content[:first] + b"".join(parts) + content[first:] + SECRET + content


def hostile_png():
    content = add_exif_orientation(encode(SKY), 8)
    end = content.index(b"IDAT") - 4
    parts = [png_chunk(kind, b"Location\0" + SECRET) for kind in (b"tEXt", b"iTXt", b"zTXt", b"prVt", b"iCCP")]
    return content[:end] + b"".join(parts) + content[end:] + SECRET


def fits_file(values=(), unit_type="PrimaryHDU", extra=()):
    fits = pytest.importorskip("astropy.io.fits")
    pixels = (SKY[..., 0].astype(np.uint16) * 200)[:119]
    unit = getattr(fits, unit_type)(pixels)
    for key, value in values:
        unit.header[key] = value
    units = [unit] if unit_type == "PrimaryHDU" else [fits.PrimaryHDU(), unit]
    stream = io.BytesIO()
    fits.HDUList([*units, *extra]).writeto(stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m31.jpg", hostile_jpeg()),
        ("progressive.jpg", hostile_jpeg((cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 3))),
        ("m31.png", hostile_png()),
        ("m31.tif", encode_tiff(SKY, 3) + SECRET),
        ("m31.bmp", encode(SKY, ".bmp") + SECRET),
    ],
)
def test_an_image_keeps_its_pixels_and_orientation_only(name, content):
    clean = clean_image(content, name)
    assert SECRET not in clean.content and clean.removed
    before, after = decode_image(content, name), decode_image(clean.content, f"frame{clean.suffix}")
    np.testing.assert_array_equal(after.pixels, before.pixels)


def test_sixteen_bits_of_a_tiff_are_kept():
    deep = (SKY[..., 0].astype(np.uint16) * 250) + np.arange(160, dtype=np.uint16)
    content = encode(deep, ".tif")
    clean = clean_image(content, "deep.tif")
    after = decode_image(clean.content, "frame.fits")
    np.testing.assert_array_equal(after.raw, deep)


HOSTILE = [
    ("SITELAT", "+48 12 30"), ("SITELONG", 16.37391), ("OBSGEO-B", 48.20817), ("LAT-OBS", 48.20817), ("LONG-OBS", 16.37391),
    ("ALT-OBS", 171.25), ("OBSERVER", "Q. Kirchberg"), ("TELESCOP", "C8 sn 99173"), ("INSTRUME", "ASI sn 99173"),
    ("OBJECT", "Kirchberg"), ("FILTER", "Kirchberg"), ("IMAGETYP", ("Light Frame", "Kirchberg")), ("DATE-LOC", "2026-11-28T23:00:00"),
    ("LST", "03 12 11"), ("AIRMASS", 1.37391), ("HIERARCH Site Longitude", 16.37391), ("COMMENT", "Kirchberg"),
    ("HISTORY", "Kirchberg"), ("EXPTIME", (30.0, "Kirchberg")), ("DATE-OBS", "2026-11-28T22:00:00"), ("LONGSTRN", "Kirchberg " * 20),
]  # fmt: skip
PRIVATE = (b"Kirchberg", b"99173", b"48 12 30", b"48.20817", b"16.37391", b"171.25", b"1.37391", b"23:00", b"03 12 11")


@pytest.mark.parametrize("unit_type", ["PrimaryHDU", "ImageHDU", "CompImageHDU"])
def test_fits_keeps_the_keywords_of_the_list(unit_type):
    """A keyword that nobody thought of is not in the list, nor are comments."""
    fits = pytest.importorskip("astropy.io.fits")
    table = fits.BinTableHDU.from_columns([fits.Column("site", "20A", array=["Kirchberg"])])
    content = fits_file([*HOSTILE, ("GAIN", 120)], unit_type, [table])
    clean = clean_image(content, "m31.fits")
    assert [text for text in PRIVATE if text in clean.content] == []
    before, after = decode_image(content, "m31.fits"), decode_image(clean.content, "frame.fits")
    np.testing.assert_array_equal(after.raw, before.raw)
    assert after.time == before.time is not None and after.header["EXPTIME"] == 30
    if unit_type != "CompImageHDU":
        assert {"SITELAT", "OBSERVER", "HISTORY"} <= set(clean.removed) and clean.content.count(b"XTENSION") < 2


def test_a_damaged_image_is_refused():
    with pytest.raises(ImageError):
        clean_image(b"SIMPLE  = " + SECRET, "m31.fits")
