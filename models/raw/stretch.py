"""The one stretch from linear light to 8-bit levels.

Light is in units of a frame's own noise.

level = 255 asinh(max(0, x + black) / softening) / asinh((white + black) / softening), x in standard deviations of the
noise above the sky (Lupton et al. 2004, PASP 116, 133). The result depends neither on gain, offset or exposure, nor on
other objects in the frame: a frame of noise alone becomes dark noise. Training, evaluation, export and runtime share
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np  # imported by the functions that compute: a manifest is read and checked without it

KIND = "asinh-noise"
STEPS = 128
"""Steps of the look-up table per standard deviation."""
_LARGEST = 65535


@dataclass(frozen=True)
class Stretch:
    """An asinh stretch.

    Attributes:
        black: standard deviations below the sky that become level 0.
        softening: standard deviations above black up to which the stretch is approximately linear.
        white: standard deviations above the sky that become level 255.
    """

    black: float = 2.0
    softening: float = 3.0
    white: float = 500.0

    def __post_init__(self) -> None:
        if not (self.black >= 0 and self.softening > 0 and self.white > 0):
            raise ValueError(f"black must be at least 0, softening and white over 0, not {asdict(self)}")
        if (self.black + self.white) * STEPS > _LARGEST:
            raise ValueError(f"black + white must be at most {_LARGEST // STEPS} sigma")

    def manifest(self) -> dict[str, Any]:
        """Return the table that a bundle's manifest holds."""
        return {"kind": KIND, **asdict(self)}

    @classmethod
    def from_manifest(cls, table: Mapping[str, Any]) -> Stretch:
        """Read the table of a manifest.

        Raises:
            ValueError: it is of another kind, a key is missing or unknown, or a value impossible.
        """
        known = {"kind", "black", "softening", "white"}
        if table.get("kind") != KIND or set(table) != known:
            raise ValueError(f"a stretch has kind = '{KIND}', black, softening and white, not {dict(table)}")
        return cls(*(float(table[key]) for key in ("black", "softening", "white")))

    def table(self) -> np.ndarray:
        """Return the levels (65536,) uint8 of (x + black) * `STEPS`, rounded."""
        return _table(self)

    def first_steps(self) -> np.ndarray:
        """Return for each level the first index in `table` that reaches it, (256,) int.

        It is 65536 if none does.
        """
        return _first_steps(self)

    def light(self) -> np.ndarray:
        """Return the light of each level, (256,) float32.

        It is in standard deviations above the sky.
        """
        import numpy as np

        levels = np.arange(256) / 255 * np.arcsinh((self.white + self.black) / self.softening)
        light: np.ndarray = (np.sinh(levels) * self.softening - self.black).astype(np.float32)
        return light

    def levels(self, x: np.ndarray) -> np.ndarray:
        """Stretch values of any shape, in standard deviations above the sky, to uint8."""
        import numpy as np

        steps = (np.asarray(x, np.float32) + np.float32(self.black)) * np.float32(STEPS)
        levels: np.ndarray = self.table()[np.rint(np.clip(steps, 0, _LARGEST)).astype(np.uint16)]
        return levels


@lru_cache(maxsize=8)
def _table(stretch: Stretch) -> np.ndarray:
    import numpy as np

    above = np.arange(_LARGEST + 1) / STEPS / stretch.softening
    white = np.arcsinh((stretch.white + stretch.black) / stretch.softening)
    levels: np.ndarray = np.clip(np.rint(255 * np.arcsinh(above) / white), 0, 255).astype(np.uint8)
    levels.setflags(write=False)
    return levels


@lru_cache(maxsize=8)
def _first_steps(stretch: Stretch) -> np.ndarray:
    import numpy as np

    steps: np.ndarray = np.searchsorted(_table(stretch), np.arange(256))
    steps[0] = 0
    steps.setflags(write=False)
    return steps
