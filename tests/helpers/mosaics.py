"""Raw frames made by hand: Bayer mosaics of a known scene, and FITS files of them."""

import io

import numpy as np
import pytest

SKY_LEVELS = {"R": 900.0, "G": 1500.0, "B": 1200.0}
NOISE = 20.0


def scene(height=128, width=160, seed=1):
    """A linear scene, (height, width, 3) float64: sky of three levels, noise, and a reddish blob in the middle."""
    rows, columns = np.mgrid[:height, :width]
    blob = np.exp(-((columns - width / 2) ** 2 + (rows - height / 2) ** 2) / (2 * (height / 10) ** 2))
    colours = np.array([SKY_LEVELS[letter] for letter in "RGB"])
    noise = np.random.default_rng(seed).normal(0, NOISE, (height, width, 1))
    return colours + blob[..., None] * np.array([4000.0, 2000.0, 1000.0]) + noise


def mosaic_of(rgb, pattern="GRBG"):
    """Sample an RGB scene through a Bayer pattern: (H, W) uint16."""
    mosaic = np.zeros(rgb.shape[:2])
    for index, letter in enumerate(pattern):
        y, x = divmod(index, 2)
        mosaic[y::2, x::2] = rgb[y::2, x::2, "RGB".index(letter)]
    return np.clip(np.rint(mosaic), 0, 65535).astype(np.uint16)


def fits_file(data, **cards):
    """Encode an array as a FITS file with some keywords."""
    fits = pytest.importorskip("astropy.io.fits", reason="needs astropy (the fits extra)")
    unit = fits.PrimaryHDU(data)
    for key, value in cards.items():
        unit.header[key] = value
    stream = io.BytesIO()
    unit.writeto(stream)
    return stream.getvalue()
