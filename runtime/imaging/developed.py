"""The stretch of frames that were developed from linear values."""

from __future__ import annotations

from ...models.raw.stretch import KIND, Stretch
from ..frame import Frame

_KEYS = ("kind", "black", "softening", "white")


def stretch_of(frame: Frame) -> Stretch | None:
    """Return the stretch with which a frame was developed; None for images of 8 bits and for other stretches."""
    if frame.planes is None or frame.stretch is None or frame.stretch.get("kind") != KIND:
        return None
    return Stretch.from_manifest({key: frame.stretch[key] for key in _KEYS})
