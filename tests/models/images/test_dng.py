"""DNG, read through rawpy.

The sensor's own values, with the pattern of their colours.
"""

import numpy as np
import pytest
from galaxy_edge.errors import ImageError
from galaxy_edge.models.images.decoder import decode_image
from helpers.mosaics import dng_file, fits_file, mosaic_of, scene

pytest.importorskip("rawpy", reason="needs rawpy (the raw extra)")


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", "GBRG", "BGGR"])
def test_a_dng_is_developed_like_the_same_values_in_fits(pattern):
    values = mosaic_of(scene(), pattern)
    image = decode_image(dng_file(values, pattern), "IMG_1.DNG")
    np.testing.assert_array_equal(image.raw, values)
    assert image.cfa == pattern and image.binning == 2 and image.remarks == ()
    expected = decode_image(fits_file(values, BAYERPAT=pattern), "a.fits")
    np.testing.assert_array_equal(image.pixels, expected.pixels)


def test_a_dng_that_breaks_off_or_states_too_much_is_refused():
    whole = dng_file(mosaic_of(scene()))
    with pytest.raises(ImageError, match=r"truncated or damaged \([A-Z][^']*\)"):
        decode_image(whole[:200], "a.dng")
    with pytest.raises(ImageError, match="too large"):
        decode_image(dng_file(mosaic_of(scene()), side=20_000), "a.dng")
