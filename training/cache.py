"""What takes minutes to compute and is needed again: frozen features, groups of duplicates, opinions of teachers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    import keras


class CacheError(UserError):
    """Something that cannot be kept; the message says where and why."""


def cache_folder() -> Path:
    """Tell where it is kept: ``$XDG_CACHE_HOME/galaxy-edge``, by default ``~/.cache/galaxy-edge``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "galaxy-edge"


def cache_key(*things: object, network: keras.Model | None = None) -> str:
    """Hash what a result depends on, a network by its weights (SHA-256, hex)."""
    digest = hashlib.sha256(repr(things).encode())
    for weights in network.weights if network is not None else ():
        digest.update(np.ascontiguousarray(np.asarray(weights)).tobytes())
    return digest.hexdigest()


def cached_array(name: str, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Read the array that is kept under a name and a key, or make and keep it.

    Raises:
        CacheError: it cannot be written.
    """
    path = cache_folder() / f"{name}-{key[:32]}.npy"
    try:
        return np.load(path, mmap_mode="r")
    except (FileNotFoundError, NotADirectoryError):
        pass  # none kept yet
    except (ValueError, EOFError):
        path.unlink()  # a file that a stop left half written by other means than ours
    array = make()
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as stream:
            np.save(stream, array)
        os.replace(beside, path)
    except OSError as problem:
        if beside.exists():
            beside.unlink()
        raise CacheError(
            f"{name} cannot be kept in {path.parent}: {problem.strerror}; set XDG_CACHE_HOME to a place with room"
        ) from None
    return array
