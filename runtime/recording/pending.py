"""Rows and log lines that wait to be written.

Those beyond the limits are dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..events.event import Event

NO_IMAGE = np.zeros((0, 0, 3), np.uint8)


class WriterLimits(NamedTuple):
    """How often the writer writes, how long it waits, and how much may wait for it.

    Attributes:
        batch_seconds: rows are committed this often.
        batch_events: rows are committed earlier if this many wait.
        commit_events: maximum number of rows in a transaction.
        busy_timeout: seconds to wait for an event file that another program has locked, before the next attempt.
        image_seconds: time that a batch of images takes before it is flushed to the disk.
        hang_seconds: rows that take longer mean that the disk does not respond.
        image_hang_seconds: the same for images; flushing them may wait for what other programs have written.
        log_sync_seconds: how often the frame log is flushed to the disk.
        close_seconds: how long closing waits for what is left.
        stop_seconds: the same for a run that was asked to stop.
        max_lines, max_events, max_images, max_image_bytes: limits of what waits; more is dropped and counted.
    """

    batch_seconds: float = 1.0
    batch_events: int = 64
    commit_events: int = 1000
    busy_timeout: float = 0.25
    image_seconds: float = 0.3
    hang_seconds: float = 10.0
    image_hang_seconds: float = 60.0
    log_sync_seconds: float = 10.0
    close_seconds: float = 15.0
    stop_seconds: float = 0.6
    max_lines: int = 20_000
    max_events: int = 10_000
    max_images: int = 2048
    max_image_bytes: int = 64 << 20


@dataclass(eq=False)
class Batch:
    """What is written together.

    Its parts are emptied once they are on the disk or counted as lost.

    Attributes:
        events: by their numbers.
        lines: of the frame log.
        clock_offset: seconds by which the clock was set during the run, before the batch was taken.
    """

    events: dict[int, Event]
    lines: list[str]
    clock_offset: float = 0.0


class PendingRows:
    """The thread-safe queue of events and log lines that wait to be written.

    The frame loop fills it, and the thread that writes them empties it.

    An event that still waits is replaced by its later state. Events of a batch that is being written still count as
    waiting, since they are put back if the store fails. Their images are not kept.

    Args:
        limits: of the writer.
        clock: returns monotonic seconds.
    """

    def __init__(self, limits: WriterLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._taken: list[str] = []  # lines of the batch that is being written
        self._events: dict[int, Event] = {}
        self._since: dict[int, float] = {}  # of each event that waits or is being written
        self._refused: set[int] = set()  # events without room or refused, until a later state is not
        self._lines_lost = 0
        self._clock_offset = 0.0

    @property
    def events(self) -> int:
        """Number of events that are not in the store yet."""
        return len(self._since)

    @property
    def lines(self) -> int:
        """Number of lines that are not in the frame log yet."""
        return len(self._lines) + len(self._taken)

    @property
    def oldest_seconds(self) -> float:
        """For how long the oldest event waits; 0 if none does."""
        with self._lock:
            return self._clock() - min(self._since.values()) if self._since else 0.0

    @property
    def is_batch_full(self) -> bool:
        """Whether enough events wait for a batch."""
        return len(self._events) >= self._limits.batch_events

    @property
    def events_lost(self) -> int:
        """Number of events that were dropped, or that the store refused."""
        return len(self._refused)

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
                if event.number not in self._since and len(self._since) >= self._limits.max_events:
                    self._refused.add(event.number)
                    continue
                self._events[event.number] = replace(event, cutout=NO_IMAGE, raw_cutout=None)
                self._since.setdefault(event.number, self._clock())
                self._refused.discard(event.number)

    def move_times(self, seconds: float) -> None:
        """Move the times of the events that wait: the clock was set.

        Those of a batch follow when it is put back.
        """
        with self._lock:
            self._clock_offset += seconds
            self._events = {number: event.moved(seconds) for number, event in self._events.items()}

    def take_batch(self) -> Batch:
        """Remove and return all lines and the events that wait longest.

        There are at most `WriterLimits.commit_events` events.
        """
        with self._lock:
            numbers = list(self._events)[: self._limits.commit_events]
            events = {number: self._events.pop(number) for number in numbers}
            batch = Batch(events, self._lines, self._clock_offset)
            self._lines, self._taken = [], batch.lines
        return batch

    def events_written(self, batch: Batch) -> None:
        """Record that the batch's events are in the store."""
        with self._lock:
            for number in batch.events:
                if number not in self._events:
                    self._since.pop(number, None)
                else:  # a later state arrived meanwhile
                    self._since[number] = self._clock()
            batch.events.clear()

    def put_back(self, batch: Batch) -> None:
        """Let the batch's events wait again, before later ones."""
        with self._lock:
            if step := self._clock_offset - batch.clock_offset:
                batch.events = {number: event.moved(step) for number, event in batch.events.items()}
            self._events = batch.events | self._events
            batch.events = {}

    def refuse(self, number: int) -> None:
        """Count an event that the store refused, unless a later state is accepted."""
        with self._lock:
            self._refused.add(number)
            if number not in self._events:
                self._since.pop(number, None)

    def drop_lines(self, count: int) -> None:
        """Count lines that could not be written."""
        with self._lock:
            self._lines_lost += count

    def drop_all(self) -> None:
        """Count everything that still waits as lost; nothing is written any more."""
        with self._lock:
            self._refused |= self._since.keys()
            self._lines_lost += self.lines
            self._lines, self._taken = [], []
