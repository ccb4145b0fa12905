"""What waits to be written: lines, events and images, up to limits beyond which they are dropped and counted."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import numpy as np

from ..events.event import Event
from .fits_writer import Cards

NO_IMAGE = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class WriterLimits:
    """How often the writer writes, how long it waits, and how much may wait for it.

    Attributes:
        batch_seconds: a batch is written this often.
        batch_events: a batch is written earlier if this many events wait.
        busy_timeout: seconds to wait for an event file that another program has locked.
        close_seconds: how long closing waits for the last batch.
        max_lines, max_events, max_images: what may wait while the disk takes nothing; the rest is dropped and counted.
    """

    batch_seconds: float = 1.0
    batch_events: int = 64
    busy_timeout: float = 10.0
    close_seconds: float = 15.0
    max_lines: int = 20_000
    max_events: int = 10_000
    max_images: int = 256


@dataclass(frozen=True)
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


@dataclass
class Batch:
    """What is written together; its parts are emptied once they are on the disk or counted as lost."""

    events: dict[int, Event]
    lines: list[str]
    images: list[PendingImage]


class PendingOutput:
    """The queue between the frame loop and the writer's thread. Thread-safe.

    An event that still waits is replaced by its later state. Events of a batch that is being written still count as
    waiting, since they come back if the store refuses them.
    """

    def __init__(self, limits: WriterLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._events: dict[int, Event] = {}
        self._images: list[PendingImage] = []
        self._in_flight: set[int] = set()
        self._refused: set[int] = set()  # events that found no room, until a later state of them does
        self._lines_lost = self._images_lost = 0

    @property
    def events(self) -> int:
        """Number of events that are not in the store yet."""
        with self._lock:
            return len(self._in_flight | self._events.keys())

    @property
    def is_batch_full(self) -> bool:
        """Whether enough events wait for a batch."""
        return len(self._events) >= self._limits.batch_events

    @property
    def events_lost(self) -> int:
        """Number of events that were dropped."""
        return len(self._refused)

    @property
    def images_lost(self) -> int:
        """Number of images that were dropped, crops included."""
        return self._images_lost

    @property
    def lines_lost(self) -> int:
        """Number of lines of the frame log that were dropped."""
        return self._lines_lost

    def add_line(self, line: str) -> None:
        """Add a line of the frame log."""
        with self._lock:
            if len(self._lines) < self._limits.max_lines:
                self._lines.append(line)
            else:
                self._lines_lost += 1

    def add_events(self, events: list[Event]) -> None:
        """Add events; one that still waits is replaced by its later state."""
        with self._lock:
            for event in events:
                self._add(event)

    def add_image(self, image: PendingImage) -> None:
        """Add an image file."""
        with self._lock:
            if len(self._images) < self._limits.max_images:
                self._images.append(image)
            else:
                self._images_lost += 1

    def take_batch(self) -> Batch:
        """Remove and return everything that waits."""
        with self._lock:
            batch = Batch(self._events, self._lines, self._images)
            self._in_flight = set(batch.events)
            self._events, self._lines, self._images = {}, [], []
        return batch

    def events_written(self, batch: Batch) -> None:
        """Note that the batch's events are in the store."""
        with self._lock:
            self._in_flight.clear()
            batch.events.clear()

    def put_back(self, batch: Batch) -> None:
        """Let the batch's events wait again, without their images, which were written or dropped."""
        with self._lock:
            later, self._events = self._events, {}
            self._in_flight.clear()
            for event in batch.events.values():
                self._add(replace(event, cutout=NO_IMAGE, raw_cutout=None))
            for event in later.values():
                self._add(event)
            batch.events.clear()

    def drop(self, lines: int = 0, images: int = 0) -> None:
        """Count lines and images that could not be written."""
        with self._lock:
            self._lines_lost += lines
            self._images_lost += images

    def drop_all(self) -> None:
        """Count everything that still waits as lost; nothing is written any more."""
        with self._lock:
            self._refused |= self._in_flight | self._events.keys()
            self._lines_lost += len(self._lines)
            self._images_lost += len(self._images)

    def _add(self, event: Event) -> None:
        """Add an event, without its image if too many wait; the lock is held."""
        is_waiting = event.number in self._events or event.number in self._in_flight
        if not is_waiting and len(self._in_flight | self._events.keys()) >= self._limits.max_events:
            self._refused.add(event.number)
            return
        waiting_images = sum(bool(waiting.cutout.size) for waiting in self._events.values())
        if event.cutout.size and waiting_images >= self._limits.max_images:
            event = replace(event, cutout=NO_IMAGE, raw_cutout=None)
            self._images_lost += 1
        self._events[event.number] = event
        self._refused.discard(event.number)
