"""The messages of events and candidates, until the publishing thread takes them."""

from __future__ import annotations

import threading

from ..events.candidates import CandidateRow
from ..events.event import Event
from ..system.output_text import json_line

NEW, UPDATE, END = "new", "update", "end"
EVENTS, CANDIDATES = "events", "candidates"
"""Ends of the topics."""
MAX_INBOX = 10_000
"""Messages that may wait for the thread that writes them to disk."""


class Inbox:
    """Waiting messages, by event and kind.

    An update that waits is replaced by a later one. Thread-safe.

    Attributes:
        lost: messages dropped because too many waited.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], Event] = {}
        self._candidates: dict[tuple[str, str], CandidateRow] = {}
        self._published: set[int] = set()  # numbers of the events that are new to the broker and not yet over
        self._clock_step = 0.0
        self.lost = 0

    def add(self, events: list[Event]) -> None:
        """Add a message for each event that began, changed or ended."""
        with self._lock:
            for event in events:
                over = event.ended or not event.is_object
                if event.number not in self._published:
                    if not event.is_object:
                        continue  # its end was published when it turned out not to be an object
                    self._published.add(event.number)
                    self._put(NEW, event)
                elif not over:
                    self._put(UPDATE, event)
                if over:
                    self._published.discard(event.number)
                    self._put(END, event)

    def add_candidate(self, row: CandidateRow, image: bytes, is_new: bool) -> None:
        """Add a message for a candidate; the image is not published."""
        with self._lock:
            key = row.id, NEW if is_new else UPDATE
            if key not in self._candidates and len(self._candidates) >= MAX_INBOX:
                self.lost += 1
                return
            self._candidates[key] = row

    def move_times(self, seconds: float) -> None:
        """Move the times of the events that wait: the clock was set."""
        with self._lock:
            self._clock_step += seconds
            self._waiting = {key: event.moved(seconds) for key, event in self._waiting.items()}

    def take(self) -> tuple[list[tuple[str, str]], float]:
        """Remove and return all messages, and the shift of times since the last call.

        Messages are the end of a topic and a content. The shift is in seconds.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            candidates, self._candidates = self._candidates, {}
            clock_step, self._clock_step = self._clock_step, 0.0
        messages = [(EVENTS, _content(kind, event)) for (_, kind), event in waiting.items()]
        messages += [(CANDIDATES, json_line({"type": kind, **row.to_dict()})) for (_, kind), row in candidates.items()]
        return messages, clock_step

    def _put(self, kind: str, event: Event) -> None:
        key = (event.id, kind)
        if key not in self._waiting and len(self._waiting) >= MAX_INBOX:
            self.lost += 1
            return
        self._waiting[key] = event


def _content(kind: str, event: Event) -> str:
    return json_line({"type": kind, **event.to_dict(), "name": event.display_name})
