"""The polynomial distortion of the SIP convention (Shupe et al. 2005)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_ORDER = 9
"""Maximum order of a polynomial in a header; the convention allows no higher one."""
_ITERATIONS = 20


@dataclass(frozen=True, eq=False)
class Sip:
    """A distortion: polynomials of pixel offsets from the reference point.

    Attributes:
        x, y: (n + 1, n + 1) float64, coefficients of u**i * v**j, added to u and to v.
    """

    x: np.ndarray
    y: np.ndarray

    def apply(self, offsets: np.ndarray) -> np.ndarray:
        """Return distorted offsets (N, 2) for pixel offsets (N, 2)."""
        u, v = offsets.T
        shift = [np.polynomial.polynomial.polyval2d(u, v, part) for part in (self.x, self.y)]
        return np.asarray(offsets + np.stack(shift, axis=1))

    def invert(self, offsets: np.ndarray) -> np.ndarray:
        """Return the pixel offsets (N, 2) of distorted offsets (N, 2), by iteration.

        Far outside the frame a polynomial has no inverse: such offsets become NaN.
        """
        found = offsets.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(_ITERATIONS):
                found = found - (self.apply(found) - offsets)
            wrong = ~(np.abs(self.apply(found) - offsets).max(axis=1, initial=0.0) < 1e-3)
        found[wrong] = np.nan
        return found

    def transformed(self, matrix: np.ndarray, reach: float) -> Sip:
        """Return the distortion of offsets that a matrix (2, 2) turns and scales.

        Polynomials stay polynomials of the same order, so the fit is exact.

        Args:
            matrix: from present offsets to new ones.
            reach: size in present pixels of the area of the fit.
        """
        order = len(self.x) - 1
        side = np.linspace(-reach, reach, 2 * order + 3)
        offsets = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
        shift = (self.apply(offsets) - offsets) @ matrix.T
        size = max(reach * float(np.abs(matrix).max()), 1e-9)
        u, v = (offsets @ matrix.T / size).T
        powers = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
        design = np.stack([u**i * v**j for i, j in powers], axis=1)
        solved = np.linalg.lstsq(design, shift, rcond=None)[0]
        parts = np.zeros((2, order + 1, order + 1))
        for (i, j), values in zip(powers, solved, strict=True):
            parts[:, i, j] = values / size ** (i + j)
        return Sip(parts[0], parts[1])

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Sip | None:
        """Read A_ORDER, A_i_j and B_i_j; None where a header has none.

        Raises:
            ValueError: an order or a coefficient is not a number in its range.
        """
        parts = []
        for letter in "AB":
            order = int(header.get(f"{letter}_ORDER", 0) or 0)
            if not 0 <= order <= MAX_ORDER:
                raise ValueError(f"{letter}_ORDER = {order}")
            values = np.zeros((MAX_ORDER + 1, MAX_ORDER + 1))
            for i in range(order + 1):
                for j in range(order + 1 - i):
                    values[i, j] = float(header.get(f"{letter}_{i}_{j}", 0.0) or 0.0)
            parts.append((order, values))
        order = max(parts[0][0], parts[1][0])
        x, y = (values[: order + 1, : order + 1] for _, values in parts)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ValueError("a coefficient of the distortion is not finite")
        return cls(x, y) if x.any() or y.any() else None

    def to_header(self) -> dict[str, Any]:
        """Return the keywords of the distortion."""
        cards: dict[str, Any] = {}
        for letter, values in (("A", self.x), ("B", self.y)):
            cards[f"{letter}_ORDER"] = len(values) - 1
            cards |= {f"{letter}_{i}_{j}": float(values[i, j]) for i, j in zip(*np.nonzero(values), strict=True)}
        return cards
