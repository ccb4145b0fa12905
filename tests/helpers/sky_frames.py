"""FITS frames with a WCS in their header, of the demo's sky at a given position."""

import math

import cv2
import numpy as np
from galaxy_edge.runtime.sources.demo import DemoSource
from galaxy_edge.sky.wcs import Wcs

CENTRE = 60.0, 55.0
"""Where the demo's sky is put: no catalogued object is near."""
SCALE = 2.0
"""Arcseconds per pixel of the demo's image."""


def sky_wcs(size, centre=CENTRE):
    """Return the WCS of the demo's whole image; north is up."""
    width, height = size
    cd = SCALE / 3600 * np.array([[-1.0, 0.0], [0.0, -1.0]])
    return Wcs(centre, (width / 2, height / 2), cd, width, height)


def frame_of(window, turn=0.0, zoom=1.0, centre=CENTRE):
    """Return pixels (480, 640, 3) and WCS of a window of the demo's sky.

    Args:
        window: x, y of its centre and its width, in pixels of the image.
        turn: degrees by which the camera is turned.
        zoom: magnification in addition to that of the width.
        centre: right ascension and declination of the image's centre.
    """
    sky = DemoSource().sky
    matrix = cv2.getRotationMatrix2D(window[:2], turn, 640 / window[2] * zoom)
    matrix[:, 2] += np.array([320.0, 240.0]) - window[:2]
    pixels = cv2.warpAffine(sky, matrix, (640, 480), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    half = 0.5 * (matrix[:, 0] + matrix[:, 1] - 1.0)  # from centres of pixels at whole numbers to edges
    matrix[:, 2] -= half
    wcs = sky_wcs(sky.shape[1::-1], centre).shifted(matrix)
    return pixels, Wcs(wcs.crval, wcs.crpix, wcs.cd, 640, 480)


def write_fits(path, pixels, wcs=None, time="2026-11-22T21:00:00", **cards):
    """Write pixels (H, W, 3) uint8 as a FITS cube."""
    from astropy.io import fits

    unit = fits.PrimaryHDU(np.moveaxis(pixels, 2, 0))
    for key, value in {**(wcs.to_header() if wcs else {}), "DATE-OBS": time, **cards}.items():
        unit.header[key] = value
    unit.writeto(path)
    return path


def arcsec_between(first, second):
    """Return the distance of two positions in degrees, for small distances."""
    (ra, dec), (to_ra, to_dec) = first, second
    return 3600 * math.hypot((ra - to_ra) * math.cos(math.radians(dec)), dec - to_dec)
