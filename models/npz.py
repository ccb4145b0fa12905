"""Read .npz files that may be damaged or hostile."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

UNPACK_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""Exceptions raised by reading a damaged or hostile zip or .npz."""


class NpzError(ValueError):
    """An .npz that cannot be read.

    The message gives the reason and not the file's name.
    """


def read_npz(
    source: Path | bytes, max_bytes: int, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz.

    Pickles are not loaded, and members that are not arrays are ignored.

    Args:
        source: the file, or its content.
        max_bytes: maximum unpacked size; nothing is unpacked from a file that declares more.
        wanted: whether the array of a name is to be unpacked.

    Raises:
        NpzError: it cannot be read, is damaged, or would unpack to more than `max_bytes`.
    """

    def stream() -> Path | io.BytesIO:
        return io.BytesIO(source) if isinstance(source, bytes) else source

    try:
        with zipfile.ZipFile(stream()) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > max_bytes:
            raise NpzError(f"would unpack to {size >> 20} MB; the maximum is {max_bytes >> 20} MB")
        with np.load(stream(), allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files if wanted(name)}
    except NpzError:
        raise
    except UNPACK_ERRORS as error:
        raise NpzError(f"cannot be read: {str(error) or type(error).__name__}") from None
    return {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
