"""The FITS file with the WCS keeps the pixels of files that break the standard."""

import numpy as np
import pytest
from galaxy_edge.models.images.decoder import decode_image
from galaxy_edge.sky.solution import Solution
from galaxy_edge.sky.solve_file import write_solved
from galaxy_edge.sky.wcs import Wcs
from helpers.images import encode
from helpers.star_field import make_wcs

fits = pytest.importorskip("astropy.io.fits", reason="needs the sky extra")
PIXELS = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)


def test_a_card_with_control_characters_is_left_out(tmp_path):
    fits.PrimaryHDU(PIXELS, fits.Header({"GAIN": "x" * 20, "OBSERVER": "me"})).writeto(tmp_path / "a.fits")
    content = (tmp_path / "a.fits").read_bytes().replace(b"x" * 20, b"\x01\x1b" * 10)
    (tmp_path / "a.fits").write_bytes(content)
    write_solved(tmp_path / "a.fits", Solution(make_wcs(), "test"), tmp_path / "b.fits")
    image = decode_image((tmp_path / "b.fits").read_bytes(), "b.fits")
    assert Wcs.from_header(image.header) and image.header["OBSERVER"] == "me" and "GAIN" not in image.header
    assert np.array_equal(image.raw, PIXELS)


def test_another_image_under_a_fits_name_is_written_as_fits(tmp_path):
    (tmp_path / "a.fits").write_bytes(encode(PIXELS, ".tif"))
    write_solved(tmp_path / "a.fits", Solution(make_wcs(), "test"), tmp_path / "b.fits")
    assert np.array_equal(decode_image((tmp_path / "b.fits").read_bytes(), "b.fits").raw, PIXELS)
