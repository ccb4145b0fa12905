"""Cache on disk for arrays that take minutes to compute.

These are features of frozen layers, groups of duplicate images, and soft targets of teachers.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from ..files import atomic_path

if TYPE_CHECKING:
    import keras


class CacheError(UserError):
    """An array that cannot be cached; the message says where and why."""


def cache_folder() -> Path:
    """Return the folder of the cache.

    It is ``$XDG_CACHE_HOME/galaxy-edge``, by default ``~/.cache/galaxy-edge``.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "galaxy-edge"


def cache_key(*values: object, network: keras.Model | None = None) -> str:
    """Return a cache key: the SHA-256 (hex) of values and network weights.

    The values must be all that the result depends on, and their `repr` must identify them.
    """
    digest = hashlib.sha256(repr(values).encode())
    for weights in network.weights if network is not None else ():
        digest.update(np.ascontiguousarray(np.asarray(weights)).tobytes())
    return digest.hexdigest()


def cached_rows(
    name: str, key: str, ids: Sequence[str], make: Callable[[np.ndarray], np.ndarray], chunk: int = 512
) -> np.ndarray:
    """Return one row of an array for each id, computing those not cached yet.

    Data sets that share images, such as folds, share the cache. It is written after every chunk, so that an interrupted
    computation continues there.

    Args:
        name, key: of the cache, which holds rows of one shape.
        ids: identifiers of the rows.
        make: computes the rows (n, ...) of the given indices (n,) into `ids`.
        chunk: number of rows that are computed at a time.

    Raises:
        CacheError: the rows cannot be written.
    """
    path = cache_folder() / f"{name}-{key[:32]}.npz"
    known: dict[str, int] = {}
    rows: np.ndarray | None = None
    try:
        with path.open("rb") as stream, np.load(stream) as stored:
            rows, known = stored["rows"], {str(row): number for number, row in enumerate(stored["ids"])}
    except (FileNotFoundError, NotADirectoryError):
        pass  # not cached yet
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile):
        path.unlink()  # incomplete, e.g. copied from elsewhere: computed again
    first = {row: index for index, row in reversed(list(enumerate(ids)))}  # an id may be there twice
    missing = np.array(sorted(index for row, index in first.items() if row not in known), int)
    for start in range(0, len(missing), chunk):
        indices = missing[start : start + chunk]
        made = make(indices)
        rows = made if rows is None else np.concatenate([rows, made])
        known |= {ids[index]: len(known) + number for number, index in enumerate(indices.tolist())}
        _write(path, name, partial(_save_rows, rows=rows, ids=list(known)))
    if rows is None:
        raise ValueError("at least one id is needed")
    return rows[[known[row] for row in ids]]


def _save_rows(path: Path, rows: np.ndarray, ids: Sequence[str]) -> None:
    with path.open("wb") as stream:  # numpy would append a suffix to the name
        np.savez(stream, rows=rows, ids=np.array(ids))


def cached_array(name: str, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the array cached under a name and a key, computing it if missing.

    Raises:
        CacheError: the array cannot be written.
    """
    path = cache_folder() / f"{name}-{key[:32]}.npy"
    try:
        array: np.ndarray = np.load(path, mmap_mode="r")
        return array
    except (FileNotFoundError, NotADirectoryError):
        pass  # not cached yet
    except (ValueError, EOFError):
        path.unlink()  # incomplete, e.g. copied from elsewhere: computed again
    array = make()
    _write(path, name, lambda staged: np.save(staged, array))
    return array


def _write(path: Path, name: str, save: Callable[[Path], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several processes may compute the same array at the same time.
        with atomic_path(path, shared=True) as staged:
            save(staged)
    except OSError as error:
        raise CacheError(
            f"{name} cannot be cached in {path.parent}: {error.strerror}; set XDG_CACHE_HOME to a folder with space"
        ) from None
