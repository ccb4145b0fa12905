"""Check the tiles of a compressed FITS image before astropy unpacks them."""

from __future__ import annotations

import io
import zlib
from math import prod
from typing import Any

from ...errors import ImageError

MAX_PIXEL_BYTES = 8


def check_tiles(content: bytes, unit: Any, name: str) -> None:
    """Refuse a file with a tile that unpacks to more than its pixels.

    Only gzip tiles can: the other methods write as many pixels as the header states.

    Args:
        content: the file up to the last intact unit.
        unit: astropy's unit of the compressed image.
        name: for the message.

    Raises:
        ImageError: a tile is too large.
    """
    limit = prod(unit.tile_shape) * MAX_PIXEL_BYTES
    if not str(unit.compression_type).startswith("GZIP") and "NOCOMPRESS" not in str(unit.compression_type):
        names: tuple[str, ...] = ("GZIP_COMPRESSED_DATA",)  # for tiles whose floats could not be quantised
    else:
        names = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA")
    from astropy.io import fits

    with fits.open(io.BytesIO(content), memmap=False, disable_image_compression=True) as units:
        for table in units:
            if not isinstance(table, fits.BinTableHDU) or not table.header.get("ZIMAGE"):
                continue
            for column in names:
                if column not in table.columns.names:
                    continue
                for tile in table.data[column]:
                    if _unpacks_beyond(bytes(tile), limit):
                        raise ImageError(name, "it is damaged: a compressed tile unpacks to more than its pixels")
            return


def _unpacks_beyond(tile: bytes, limit: int) -> bool:
    """Return whether a gzip stream unpacks to more than `limit` bytes.

    Damaged ones are left to the decoder.
    """
    decoder = zlib.decompressobj(wbits=47)  # gzip or zlib, by its header
    size = 0
    try:
        while tile and not decoder.eof:
            size += len(decoder.decompress(tile, 2**16))
            tile = decoder.unconsumed_tail
            if size > limit:
                return True
    except zlib.error:
        pass
    return False
