"""FITS files whose headers hold cards that cannot be parsed, around sound pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from .....errors import ImageError
from .....models.images.decoder import decode_image
from ...attack import Attack, NotPossible, Outcome

CARDS = (
    "CCD-TEMP=                  nan / deg",
    "EXPTIME =                 30,5 / locale",
    "OBJECT  = M 31 Andromeda",
    "TESTVERI= '2017/02/13-16:51:38 / no end",
    "GAIN    =                 1.#IND / NaN of Windows",
    "FOCALLEN=             infinity",
    "HIERARCH  = = '",
    "lower   =                    1",
    "CONTINUE  'of nothing&'",
    "BSCALE  =                  nan",
    "BSCALE  =                  1,0",
    "BZERO   = '0 '",
)


def run(count: int, folder: Path) -> Outcome:
    """Write `count` files with broken cards, and read each.

    A file has one to three such cards, or one of random characters.
    """
    try:
        from astropy.io import fits
    except ImportError:
        raise NotPossible("needs the fits extra") from None
    random = np.random.default_rng(1)
    lost = changed = 0
    for _ in range(count):
        pixels = random.integers(500, 4000, (40, 48)).astype(np.uint16)
        stream = io.BytesIO()
        unit = fits.PrimaryHDU(pixels)
        for number in range(3):
            unit.header[f"UNUSED{number}"] = "x" * 60
        unit.writeto(stream)
        content = stream.getvalue()
        for number in range(int(random.integers(1, 4))):
            start = content.index(f"UNUSED{number}".encode())
            content = content[:start] + _card(random) + content[start + 80 :]
        try:
            image = decode_image(content, "light.fits")
        except ImageError:
            lost += 1
            continue
        changed += image.raw is None or not np.array_equal(np.sort(image.raw.ravel()), np.sort(pixels.ravel()))
    return Outcome({"files": count, "lost": lost, "changed": changed}, not lost and not changed)


def _card(random: np.random.Generator) -> bytes:
    if random.random() < 0.3:
        return b"NOTE    = " + bytes(random.integers(32, 127, 70).tolist())
    return CARDS[int(random.integers(len(CARDS)))].encode().ljust(80)


ATTACK = Attack(
    promise="No valid FITS image is lost because of a header card that cannot be parsed.",
    method="{count} files with one to three such cards: NaN, comma, open quote, lower case, scales that are not "
    "numbers, random characters",
    run=run,
    count=2000,
    small_count=40,
)
