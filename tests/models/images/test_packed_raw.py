"""Check the unpacking of raw images against packing bit by bit."""

import numpy as np
import pytest
from galaxy_edge.models.images.packed_raw import packed_row_bytes, unpack_csi2
from helpers.packed_pixels import packed


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("width", [64, 62, 61])
def test_pixels_are_unpacked_exactly_whatever_the_width(bits, width):
    values = np.random.default_rng(bits).integers(0, 2**bits, (6, width))
    rows = packed(values, bits)
    assert rows.shape[1] == packed_row_bytes(width, bits)
    found = unpack_csi2(np.pad(rows, ((0, 0), (0, 20))), width, bits)
    assert found.dtype == np.uint16 and np.array_equal(found, values)


def test_bytes_of_the_documentation_are_read_as_it_says():
    """MIPI RAW10 has four high bytes, then two low bits of each pixel.

    The first pixel's bits are the lowest (pixfmt-srggb10p).
    """
    rows = np.array([[0x01, 0x02, 0x03, 0x04, 0b11_10_01_00]], np.uint8)
    assert unpack_csi2(rows, 4, 10).tolist() == [[0x01 << 2, 0x02 << 2 | 1, 0x03 << 2 | 2, 0x04 << 2 | 3]]
    assert unpack_csi2(np.array([[0xAB, 0xCD, 0x21]], np.uint8), 2, 12).tolist() == [[0xAB1, 0xCD2]]
