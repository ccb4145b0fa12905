"""Features of a frozen network, computed once and kept: minutes saved for every further seed and every resume."""

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
    """Features that cannot be kept; the message says where and why."""


def cache_folder() -> Path:
    """Tell where features are kept: ``$XDG_CACHE_HOME/galaxy-edge``, by default ``~/.cache/galaxy-edge``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "galaxy-edge"


def key_of(network: keras.Model, *more: object) -> str:
    """Hash a network's weights and whatever else its features depend on (SHA-256, hex)."""
    digest = hashlib.sha256(repr(more).encode())
    for weights in network.weights:
        digest.update(np.ascontiguousarray(np.asarray(weights)).tobytes())
    return digest.hexdigest()


def kept(key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Read the features that are kept under a key, or make and keep them.

    Raises:
        CacheError: they cannot be written.
    """
    path = cache_folder() / f"features-{key[:32]}.npy"
    try:
        return np.load(path, mmap_mode="r")
    except (FileNotFoundError, NotADirectoryError):
        pass  # none kept yet
    except (ValueError, EOFError):
        path.unlink()  # a file that a stop left half written by other means than ours
    features = make()
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as stream:
            np.save(stream, features)
        os.replace(beside, path)
    except OSError as problem:
        if beside.exists():
            beside.unlink()
        raise CacheError(
            f"features cannot be kept in {path.parent}: {problem.strerror}; set XDG_CACHE_HOME to a place with room"
        ) from None
    return features
