"""Search the stars of Tycho-2 in the index file of astrometry.net.

The index is also a catalogue: positions (J2000) as unit vectors in the order of a k-d tree, and magnitudes VT next to
them. It is memory-mapped, so that a search reads a few pages of it and needs no memory of its own.
"""

from __future__ import annotations

import functools
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError

FILE = "index-tycho2-07.littleendian.fits"
PACKAGE = "astrometry-data-tycho2-07-littleendian"
FOLDERS = (Path("/usr/share/astrometry"), Path("/usr/local/share/astrometry"), Path("/usr/local/astrometry/data"))
INSTALL = f"install it: sudo apt install {PACKAGE}"
_REINSTALL = f"install it again: sudo apt install --reinstall {PACKAGE}"
_TABLES = ("kdtree_lr_stars", "kdtree_split_stars", "kdtree_range_stars", "kdtree_data_stars", "MAG_VT")
_ENDIAN = "04:03:02:01"
"""The card ENDIAN of a file whose numbers begin with their lowest byte."""


class StarCatalogueError(UsageError):
    """The star catalogue is missing, incomplete or not the file that it should be."""


@dataclass(frozen=True)
class Stars:
    """Stars of a catalogue, the brightest first.

    Attributes:
        ra, dec: (N,) float64 degrees, J2000.
        magnitude: (N,) float64 of Tycho-2's band VT, 0.05 to 0.1 fainter than V for most stars.
    """

    ra: np.ndarray
    dec: np.ndarray
    magnitude: np.ndarray

    def __len__(self) -> int:
        return len(self.ra)


@dataclass(frozen=True)
class Tycho2:
    """Stars in an open index file: 1.9 million, complete to about VT 11.5.

    Attributes:
        path: the file.
        positions: (N, 3) uint32 unit vectors, scaled to the whole range of the type, in the order of the tree.
        magnitudes: (N,) float32.
        last: (leaves,) uint32 index of the last star of each leaf.
        splits: (leaves - 1,) uint32 inner nodes: the axis in the lowest 2 bits, the rest is the plane.
        scale: units of `positions` per unit.
    """

    path: Path
    positions: np.ndarray
    magnitudes: np.ndarray
    last: np.ndarray
    splits: np.ndarray
    scale: float

    def within(self, ra: float, dec: float, radius: float, faintest: float = math.inf) -> Stars:
        """Return the stars in a circle.

        Args:
            ra, dec: centre, degrees.
            radius: degrees.
            faintest: stars of greater magnitude are left out.
        """
        chord = 2 * math.sin(math.radians(min(radius, 180.0)) / 2)
        centre = unit_vectors(np.array([ra]), np.array([dec]))[0]
        low, high = ((centre + sign * chord + 1) * self.scale for sign in (-1, 1))
        # Neighbouring leaves are neighbours in the file: one index for all of them.
        leaves = self._leaves(low, high)
        firsts = np.where(leaves > 0, self.last[np.maximum(leaves, 1) - 1].astype(np.int64) + 1, 0)
        counts = self.last[leaves].astype(np.int64) - firsts + 1
        index = np.repeat(firsts - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
        vectors = self.positions[index] / self.scale - 1
        magnitude = self.magnitudes[index].astype(np.float64)
        inside = (((vectors - centre) ** 2).sum(axis=1) <= chord**2) & (magnitude <= faintest)
        vectors, magnitude = vectors[inside], magnitude[inside]
        order = np.lexsort((vectors[:, 0], magnitude))
        ra_found, dec_found = _angles(vectors[order])
        return Stars(ra_found, dec_found, magnitude[order])

    def _leaves(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the leaves that a box (3,), (3,) touches: (L,) in the order of the file."""
        nodes = np.zeros(1, np.int64)
        inner = len(self.splits)
        while nodes[0] < inner:
            word = self.splits[nodes]
            axis, plane = word & 3, word & ~np.uint32(3)
            left, right = low[axis] <= plane + 4.0, high[axis] >= plane
            pairs = np.stack([2 * nodes + 1, 2 * nodes + 2], axis=1)
            nodes = pairs[np.stack([left, right], axis=1)]
        return nodes - inner


def unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Convert angles (N,), (N,) in degrees to unit vectors (N, 3)."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)


def _angles(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y, z = vectors.T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


def find_tycho2(folders: Sequence[Path] = FOLDERS) -> Path | None:
    """Return the path of the index file, or None if it is not installed.

    The variable GALAXY_EDGE_TYCHO2 names a file elsewhere.
    """
    if chosen := os.environ.get("GALAXY_EDGE_TYCHO2"):
        return Path(chosen)
    return next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)


def open_tycho2(path: Path | None = None) -> Tycho2:
    """Open the star catalogue; an open one is used again.

    Args:
        path: the index file; by default, where Debian installs it.

    Raises:
        StarCatalogueError: the file is missing, cut short, or another file; the message says which package to install.
    """
    path = path or find_tycho2()
    if path is None or not path.is_file():
        raise StarCatalogueError(f"the star catalogue {path or FILE} is missing; {INSTALL}")
    return _open(path)


@functools.lru_cache(maxsize=2)
def _open(path: Path) -> Tycho2:
    try:
        offsets = _offsets(path)
        size = path.stat().st_size
        tables = {name: _mapped(path, name, *offsets[name], size) for name in _TABLES}
    except OSError as error:
        reason = error.strerror or str(error)
        raise StarCatalogueError(f"the star catalogue {path} cannot be read: {reason}; {_REINSTALL}") from None
    limits = tables["kdtree_range_stars"]
    last, splits = tables["kdtree_lr_stars"], tables["kdtree_split_stars"]
    positions, magnitudes = tables["kdtree_data_stars"], tables["MAG_VT"]
    leaves = len(last)
    is_tree = leaves > 0 and leaves & (leaves - 1) == 0 and len(splits) == leaves - 1 and len(limits) == 7
    if not (is_tree and last[-1] == len(positions) - 1 and len(magnitudes) == len(positions)):
        raise StarCatalogueError(f"{path} is not the index of Tycho-2: its tree and stars do not match; {_REINSTALL}")
    return Tycho2(path, positions, magnitudes, last, splits, float(limits[6]))


def _offsets(path: Path) -> dict[str, tuple[int, int, int]]:
    """Return offset, row length and rows of each table, by the name of its column."""
    from astropy.io import fits

    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a file cut short is reported below
        with fits.open(path, mode="denywrite", memmap=True) as units:
            if units[0].header.get("ENDIAN", "").strip() != _ENDIAN:
                raise OSError("it is not an index of astrometry.net for this kind of computer")
            for unit in units:
                header: Any = unit.header
                if name := header.get("TTYPE1"):
                    found[name] = (unit.fileinfo()["datLoc"], int(header["NAXIS1"]), int(header["NAXIS2"]))
    if missing := [name for name in _TABLES if name not in found]:
        raise OSError(f"it is cut short, or another index: it has no table {missing[0]}")
    return found


def _mapped(path: Path, name: str, offset: int, row: int, rows: int, size: int) -> np.ndarray:
    """Map a table: (rows,), or (rows, 3) for positions."""
    kind, width = {"kdtree_range_stars": ("<f8", 8), "MAG_VT": (">f4", 4), "kdtree_data_stars": ("<u4", 12)}.get(
        name, ("<u4", 4)
    )
    if row != width:
        raise OSError(f"its table {name} has rows of {row} bytes, not {width}")
    if offset + row * rows > size:
        raise OSError(f"it is cut short: it has {size:,} bytes, its table {name} ends at {offset + row * rows:,}")
    shape = (rows, 3) if width == 12 else (rows,)
    return np.memmap(path, kind, "r", offset, shape)
