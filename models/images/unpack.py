"""Unpack image files that were compressed as a whole.

The result stays within the memory that an image may take.
"""

from __future__ import annotations

import bz2
import zlib

from ...errors import ImageError
from .headers import COMPRESSED_MAGIC
from .memory import budget

_STEP = 2**20


def unpack(content: bytes, name: str) -> bytes:
    """Unpack the content of a gzip or bzip2 file; return any other content unchanged.

    Raises:
        ImageError: it is damaged, or its content is larger than half of the memory that an image may take.
    """
    if not content.startswith(COMPRESSED_MAGIC):
        return content
    unpacked = bytearray()
    limit = budget() // 2
    try:
        while content.startswith(COMPRESSED_MAGIC):  # the rest is padding of a tape or of a download
            content = _unpack_stream(content, unpacked, limit, name)
    except (zlib.error, OSError, EOFError) as error:
        raise ImageError(name, f"it cannot be unpacked: {error}") from None
    return bytes(unpacked)


def _unpack_stream(content: bytes, unpacked: bytearray, limit: int, name: str) -> bytes:
    """Unpack the first stream of `content` and append the result.

    Return what follows the stream.
    """
    is_gzip = content.startswith(COMPRESSED_MAGIC[0])
    decoder = zlib.decompressobj(wbits=31) if is_gzip else bz2.BZ2Decompressor()
    while not decoder.eof:
        before = len(unpacked)
        unpacked += decoder.decompress(content, _STEP)
        if len(unpacked) > limit:
            raise ImageError(name, f"unpacked it is larger than {limit >> 20} MiB")
        content = getattr(decoder, "unconsumed_tail", b"")
        if not decoder.eof and len(unpacked) == before and not content:
            raise EOFError("its end is missing")
    return decoder.unused_data
