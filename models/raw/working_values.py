"""A linear frame's values in a type and range that later steps can compute with."""

from __future__ import annotations

import math

import numpy as np

LEAST_VALUE = 1e-250
"""Frames of smaller values count as empty."""
SCALE_DECADES, MIDDLE_DECADE = 24, 4
"""Frames whose highest value is between 1e-8 and 1e16 are not scaled."""


def working_scale(frame: np.ndarray) -> float:
    """Return the factor from a frame's values to its `linear_planes`.

    It is 1 unless the values are extreme.

    Squares of very small and very large values are beyond the ends of float32. The factor is a power of 1e24, so that
    the frames of a series have the same.

    Args:
        frame: of any real type; values that are not finite are ignored.
    """
    if frame.dtype.kind != "f":
        return 1.0
    peak = max(abs(float(frame.min())), abs(float(frame.max())))
    if not math.isfinite(peak):
        peak = float(np.abs(frame[np.isfinite(frame)]).max(initial=0.0))
    if peak < LEAST_VALUE:  # no image has such values
        return 0.0 if peak else 1.0
    return 10.0 ** (-SCALE_DECADES * round((math.log10(peak) - MIDDLE_DECADE) / SCALE_DECADES))


def working_values(frame: np.ndarray) -> np.ndarray:
    """Convert a frame to uint16, or to finite float32 within a safe range."""
    if frame.dtype == np.uint16:
        return frame if frame.ndim == 3 else np.ascontiguousarray(frame)
    if frame.dtype == np.uint8:
        return frame.astype(np.uint16)
    if frame.dtype.kind not in "iufb":
        raise ValueError(f"a frame holds real numbers, not {frame.dtype}")
    if frame.dtype.byteorder == ">":
        frame = frame.astype(frame.dtype.newbyteorder("="))
    if frame.dtype != np.float32:
        frame = frame.astype(np.float64)
    if not np.isfinite(frame.sum(dtype=np.float64)):
        frame = np.where(np.isfinite(frame), frame, 0)
    scale = working_scale(frame)
    if scale != 1:
        frame = frame.astype(np.float64) * scale
    return frame.astype(np.float32, copy=False) if frame.ndim == 3 else np.ascontiguousarray(frame, np.float32)
