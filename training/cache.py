"""Cache arrays that take minutes to compute: frozen features, groups of duplicates, soft targets of teachers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
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
    """Return the cache folder: ``$XDG_CACHE_HOME/galaxy-edge``, by default ``~/.cache/galaxy-edge``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "galaxy-edge"


def cache_key(*values: object, network: keras.Model | None = None) -> str:
    """Return the SHA-256 (hex) of the values that a result depends on, and of a network's weights."""
    digest = hashlib.sha256(repr(values).encode())
    for weights in network.weights if network is not None else ():
        digest.update(np.ascontiguousarray(np.asarray(weights)).tobytes())
    return digest.hexdigest()


def cached_array(name: str, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the array cached under a name and a key; compute and cache it where there is none.

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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several processes may compute the same array at the same time.
        with atomic_path(path, shared=True) as staged:
            np.save(staged, array)
    except OSError as error:
        raise CacheError(
            f"{name} cannot be cached in {path.parent}: {error.strerror}; set XDG_CACHE_HOME to a folder with space"
        ) from None
    return array
