"""The crops of events as files: the best view of each, written again only if a better one was seen."""

from __future__ import annotations

from pathlib import Path

from ..events.event import Event
from ..imaging.encoding import encode_image
from .fits_writer import event_cards, fits_bytes
from .retention import RetainedFiles


class CropWriter:
    """Writes crops as PNG, and as FITS if wanted.

    Args:
        files: where they are written.
        folder: folder of the run's crops, by its name in the output folder.
        fits: whether crops are written as FITS too.
    """

    def __init__(self, files: RetainedFiles, folder: str, fits: bool) -> None:
        self._files, self._folder, self._fits = files, folder, fits
        self._views: dict[int, int] = {}  # of each event that has not ended: the frame of the view on the disk

    def is_new_view(self, event: Event) -> bool:
        """Return whether an event has a crop that is not on the disk."""
        return bool(event.cutout.size) and self._views.get(event.number) != event.best_frame

    def write(self, event: Event) -> None:
        """Write an event's crop.

        Raises:
            OSError: it cannot be written.
        """
        name = self._name(event)
        self._files.write(name, encode_image(event.cutout))
        if self._fits:
            pixels = event.cutout if event.raw_cutout is None else event.raw_cutout
            self._files.write(str(Path(name).with_suffix(".fits")), fits_bytes(pixels, event_cards(event)))
        self._views[event.number] = event.best_frame

    def stored_name(self, event: Event) -> str | None:
        """Return the name of the event's crop in the output folder; None if it has none there."""
        if event.ended:
            self._views.pop(event.number, None)
        name = self._name(event)
        return name if name in self._files else None

    def _name(self, event: Event) -> str:
        return f"{self._folder}/{event.number:05d}.png"
