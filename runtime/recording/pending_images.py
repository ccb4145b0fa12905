"""Crops and other images that wait to be written.

Those beyond the limits are dropped and counted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..events.event import Event
from ..imaging.encoding import encode_image
from .pending import WriterLimits

if TYPE_CHECKING:
    from ..frame import Frame
    from .fits_writer import Cards


@dataclass(frozen=True, eq=False)
class PendingImage:
    """An image file to be written.

    Attributes:
        name: of the file in the output folder; its suffix is the format, PNG or FITS.
        content: the encoded file, or pixels to be encoded.
        cards: header of a FITS file.
    """

    name: str
    content: bytes | np.ndarray
    cards: Cards = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.nbytes

    def encoded(self) -> list[tuple[str, bytes]]:
        """Return the files by name, with their content."""
        content = self.content
        if not isinstance(content, bytes):
            if self.name.endswith(".fits"):
                from .fits_writer import fits_bytes

                return [(self.name, fits_bytes(content, self.cards))]
            content = encode_image(content)
        return [(self.name, content)]


class PendingCrop(NamedTuple):
    """The best view of an event, to be written as PNG, and as FITS if wanted.

    Attributes:
        name: of the PNG file in the output folder.
        event: with its cutout.
        fits: whether it is written as FITS too.
    """

    name: str
    event: Event
    fits: bool

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits."""
        raw = self.event.raw_cutout
        return self.event.cutout.nbytes + (raw.nbytes if raw is not None else 0)

    def encoded(self) -> list[tuple[str, bytes]]:
        """Return the files by name, with their content."""
        event = self.event
        files = [(self.name, encode_image(event.cutout))]
        if self.fits:
            from .fits_writer import event_cards, fits_bytes

            pixels = event.cutout if event.raw_cutout is None else event.raw_cutout
            files.append((str(Path(self.name).with_suffix(".fits")), fits_bytes(pixels, event_cards(event))))
        return files


def frame_images(name: str, frame: Frame, fits: bool) -> Iterator[PendingImage]:
    """Yield the images of a frame; above 8 bits, at full depth as well.

    The frame or stack at full depth is a 16-bit PNG (``NAME-16bit.png``; a mean is rounded, and values outside
    0..65535 are not written), and a FITS file if `fits`.
    """
    pixels = frame.pixels.copy()
    yield PendingImage(name, pixels)
    if frame.raw is not None and frame.raw.min() >= 0.0 and 1.0 < frame.raw.max() <= 65535.0:
        yield PendingImage(f"{name.removesuffix('.png')}-16bit.png", np.rint(frame.raw).astype(np.uint16))
    if fits:
        from .fits_writer import frame_cards

        deep = pixels if frame.raw is None else frame.raw.copy()
        yield PendingImage(str(Path(name).with_suffix(".fits")), deep, frame_cards(frame))


class PendingImages:
    """The queue of images between the frame loop and the thread that writes them.

    Thread-safe.

    A crop that still waits is replaced by a better view of the same event.

    Args:
        limits: of the writer.
    """

    def __init__(self, limits: WriterLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._waiting: dict[str, PendingImage | PendingCrop] = {}
        self._bytes = 0
        self._in_hand = 0  # files that are being written
        self._views: dict[int, int] = {}  # of each event in sight: the frame of the view that waits or was written
        self._lost = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def unwritten(self) -> int:
        """Number of images that are not on the disk yet."""
        return len(self._waiting) + self._in_hand

    @property
    def lost(self) -> int:
        """Number of images that were dropped."""
        return self._lost

    def add_crop(self, event: Event, name: str, fits: bool) -> None:
        """Add an event's best view, unless it waits or was written already."""
        with self._lock:
            is_new = bool(event.cutout.size) and self._views.get(event.number) != event.best_frame
            if is_new and self._put(PendingCrop(name, event, fits)):
                self._views[event.number] = event.best_frame
            if event.ended:
                self._views.pop(event.number, None)

    def add(self, image: PendingImage) -> None:
        """Add an image file."""
        with self._lock:
            self._put(image)

    def take(self) -> PendingImage | PendingCrop | None:
        """Remove and return the image that waits longest; None if none waits."""
        with self._lock:
            if not self._waiting:
                return None
            image = self._waiting.pop(next(iter(self._waiting)))
            self._bytes -= image.size
            self._in_hand += 1
        return image

    def written(self, count: int) -> None:
        """Record that images from the queue are on the disk."""
        with self._lock:
            self._in_hand -= count

    def failed(self, image: PendingImage | PendingCrop) -> None:
        """Count an image from the queue that could not be written.

        Its event may deliver the same view again.
        """
        with self._lock:
            self._in_hand -= 1
            self._lost += 1
            if isinstance(image, PendingCrop):
                self._views.pop(image.event.number, None)

    def drop_all(self) -> None:
        """Count all images that wait or are being written as lost.

        Nothing is written any more.
        """
        with self._lock:
            self._lost += len(self._waiting) + self._in_hand
            self._waiting, self._bytes, self._in_hand = {}, 0, 0

    def _put(self, image: PendingImage | PendingCrop) -> bool:
        """Add an image if there is room; the lock is held."""
        replaced = self._waiting.get(image.name)
        size = self._bytes - (replaced.size if replaced else 0) + image.size
        count = len(self._waiting) + (replaced is None)
        if count > self._limits.max_images or (count > 1 and size > self._limits.max_image_bytes):
            self._lost += 1
            return False
        self._waiting[image.name] = image
        self._bytes = size
        return True
