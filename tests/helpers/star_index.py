"""Write a small star catalogue in the form of astrometry.net's index files."""

from pathlib import Path

import numpy as np
from astropy.io import fits

SCALE = (2**32 - 1) / 2


def write_star_index(path: Path, ra, dec, magnitude, leaf_size: int = 8) -> None:
    """Write stars (N,) degrees and magnitudes as a k-d tree of unit vectors."""
    a, d = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    vectors = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)
    points = np.round((vectors + 1) * SCALE).astype(np.uint32)
    depth = max(0, int(np.ceil(np.log2(max(1, len(points)) / leaf_size))))
    parts, splits = [np.arange(len(points))], []
    for _ in range(depth):
        halves = []
        for part in parts:
            axis = int(np.argmax(np.ptp(points[part].astype(float), axis=0)))
            part = part[np.argsort(points[part, axis], kind="stable")]
            middle = len(part) // 2
            splits.append(int(points[part[middle - 1], axis]) & ~3 | axis)
            halves += [part[:middle], part[middle:]]
        parts = halves
    order = np.concatenate(parts)
    last = np.cumsum([len(part) for part in parts]) - 1
    primary = fits.PrimaryHDU()
    primary.header["ENDIAN"] = "04:03:02:01"
    units = [
        primary,
        _unit("kdtree_lr_stars", last.astype("<u4")),
        _unit("kdtree_split_stars", np.array(splits, "<u4")),
        _unit("kdtree_range_stars", np.array([-1, -1, -1, 1, 1, 1, SCALE], "<f8")),
        _unit("kdtree_data_stars", points[order].astype("<u4")),
        fits.BinTableHDU.from_columns([fits.Column("MAG_VT", "E", array=np.asarray(magnitude, np.float32)[order])]),
    ]
    fits.HDUList(units).writeto(path, overwrite=True)


def _unit(name: str, values: np.ndarray) -> fits.BinTableHDU:
    """Store numbers as bytes, as astrometry.net does."""
    width = values.itemsize * (values.shape[1] if values.ndim > 1 else 1)
    rows = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8).reshape(-1, width)
    return fits.BinTableHDU.from_columns([fits.Column(name, f"{width}B", array=rows)])
