"""The stretch of frames that were developed from linear values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frame import Frame

if TYPE_CHECKING:
    from ...models.images.development import Development
    from ...models.raw.stretch import Stretch

_KEYS = ("kind", "black", "softening", "white")
_DEVELOPMENTS = {"linear": "none", "asinh": "percentile"}
"""Development by the kind of a recorded stretch, for stretches that do not use the noise."""


def stretch_of(frame: Frame) -> Stretch | None:
    """Return the stretch with which a frame was developed.

    None for images of 8 bits and for other stretches.
    """
    if frame.planes is None or frame.stretch is None:
        return None
    from ...models.raw.stretch import KIND, Stretch

    if frame.stretch.get("kind") != KIND:
        return None
    return Stretch.from_manifest({key: frame.stretch[key] for key in _KEYS})


def development_of(frame: Frame) -> Development:
    """Return how a frame was developed, to develop derived images the same way."""
    from ...models.images.development import Development

    stretch = stretch_of(frame)
    if stretch is not None:
        return Development(stretch=stretch)
    kind = str((frame.stretch or {}).get("kind"))
    return Development(_DEVELOPMENTS.get(kind, "auto"))
