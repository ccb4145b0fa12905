"""Sizes of the two networks: which are installed, and their measured figures.

The wheel has ``small``. ``nano`` and ``base`` are folders with the same bundles. They come from an installed package
that registers them as entry points of the group ``galaxy_edge.models`` (the name is the size, the value a folder), or
from ``galaxy-edge/models/SIZE`` in the user's or the system's data folder, where an export may write them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from .bundle import Bundle

SIZES = ("nano", "small", "base")
SHIPPED_SIZE = "small"
GROUP = "galaxy_edge.models"
FIGURES = Path(__file__).with_name("sizes.json")
"""Measured figures of each size, written by ``python -m galaxy_edge.benchmarks.performance.sizes``."""


def data_folders(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the folders where sizes are looked for, the user's first."""
    home = environment.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    system = environment.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    return [Path(folder) / "galaxy-edge" / "models" for folder in (home, *system.split(":")) if folder]


def size_folder(size: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder with the bundles of a size; None if it is not installed.

    Raises:
        UsageError: a package registers a size and cannot be loaded.
    """
    if size == SHIPPED_SIZE:
        return Path(__file__).with_name("shipped")
    for folder in data_folders(environment):
        if (folder / size).is_dir():
            return folder / size
    return _registered_folder(size)


def _registered_folder(size: str) -> Path | None:
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP, name=size):
        try:
            folder = Path(entry.load())
        except (ImportError, AttributeError, TypeError, OSError) as error:
            package = entry.dist.name if entry.dist else entry.value
            raise UsageError(f"the networks of size {size} in {package} cannot be loaded: {error}") from None
        return folder
    return None


def models_of_size(size: str) -> Path | None:
    """Return the folder to run a size from; None for the bundles in the package.

    Raises:
        UsageError: the size is not installed.
    """
    if size == SHIPPED_SIZE:
        return None
    folder = size_folder(size)
    if folder is None:
        raise UsageError(f"the networks of size {size} are not installed: see galaxy-edge models list")
    return folder


def install(size: str, bundles: Sequence[Bundle], environment: Mapping[str, str] = os.environ) -> Path:
    """Copy bundles to the user's folder of a size; return it.

    The shipped bundles of the other networks are copied too. The folder appears complete, or not at all.

    Raises:
        UsageError: two bundles, or one that is none of the networks of a run; or the folder cannot be created.
    """
    shipped = Path(__file__).with_name("shipped")
    sources = {path.parent.name: path.parent for path in sorted(shipped.glob("*/bundle.toml"))}
    names = [bundle.name for bundle in bundles]
    for bundle in bundles:
        if bundle.name not in sources or names.count(bundle.name) > 1:
            wanted = "at most one bundle each of " + ", ".join(sources)
            raise UsageError(f"{bundle.path} is '{bundle.name}': a size has {wanted}")
        sources[bundle.name] = bundle.path
    target = data_folders(environment)[0] / size
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the folder {target.parent} cannot be created: {error.strerror}; "
            "its place must be writable, without a file or a broken link"
        ) from None
    with tempfile.TemporaryDirectory(prefix=f".{size}-", dir=target.parent) as folder:
        for name, source in sources.items():
            shutil.copytree(source, Path(folder) / "new" / name)
        if os.path.lexists(target):  # also a broken link
            os.rename(target, Path(folder) / "old")
        os.rename(Path(folder) / "new", target)
    return target


def measured_figures() -> dict[str, Any]:
    """Return the measured figures; keys are sizes, then networks."""
    return dict(json.loads(FIGURES.read_text(encoding="utf-8"))) if FIGURES.is_file() else {}
