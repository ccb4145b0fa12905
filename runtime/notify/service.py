"""The thread of one service: collects events, sends, tries again after failures."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..events.candidates import CandidateRow
from ..events.event import Event
from .config import NotifyConfig
from .message import compose, compose_candidates
from .rules import matches, object_keys
from .sender import Sender, SendError

logger = logging.getLogger(__name__)

MAX_WAITING = 50
"""Events that may wait for a service; beyond it, those of the lowest score are dropped."""
MAX_REMEMBERED = 10_000
"""Objects of which it is remembered that they were notified."""
RETRY_SECONDS = (30.0, 900.0)
"""Delay after a failure: the first, and the longest after doubling."""


class ServiceThread:
    """Notify one service from a thread of its own.

    Args:
        sender: of the service.
        config: rules and intervals.
        station: name of this computer.
        clock: returns monotonic seconds.

    Attributes:
        sent: number of events that the service was notified of.
        dropped: number of events dropped because too many waited.
    """

    def __init__(
        self, sender: Sender, config: NotifyConfig, station: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sender, self._config, self._station, self._clock = sender, config, station, clock
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._waiting: dict[int, Event] = {}  # by the event's number, the oldest first
        self._sending: dict[int, Event] = {}
        self._candidates: list[tuple[CandidateRow, bytes]] = []
        self._notified: dict[str, float] = {}  # when, by the keys of objects
        self._due = 0.0  # when the next message may be sent
        self._delay = 0.0  # after a failure; 0 while the service works
        self.sent = self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=f"notify {sender.name}", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Number of events of which the service was not yet notified."""
        with self._lock:
            return len(self._waiting) + len(self._sending) + len(self._candidates)

    def add(self, events: list[Event]) -> None:
        """Take events that began, changed or ended.

        Those that match the rules wait to be sent. An event that waits is replaced by its later state, or removed if
        that does not match any more.
        """
        with self._lock:
            for event in events:
                if not matches(event, self._config) or self._is_known(event):
                    self._waiting.pop(event.number, None)
                    continue
                if not self._waiting:
                    self._due = max(self._due, self._clock() + self._config.settle)
                self._waiting[event.number] = event
                self._drop_excess()
        self._wake.set()

    def add_candidate(self, row: CandidateRow, image: bytes) -> None:
        """Take a candidate; those that wait are sent in one message."""
        with self._lock:
            if len(self._candidates) >= MAX_WAITING:
                self.dropped += 1
                return
            self._candidates.append((row, image))
        self._wake.set()

    def close(self) -> None:
        """Ask the thread to send what waits, and to end.

        A service that failed last is not tried again.
        """
        self._closing = True
        self._wake.set()

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, and report what could not be sent."""
        self._thread.join(seconds)
        if pending := self.pending:
            logger.warning("%s was not notified of %d finds", self._sender.name, pending)
        if self.dropped:
            logger.warning("%s was not notified of %d finds: too many waited", self._sender.name, self.dropped)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._seconds_to_wait())
            self._wake.clear()
            if self._seconds_to_wait() == 0:
                self._send()
        while not self._delay and self.pending:
            self._send()

    def _seconds_to_wait(self) -> float | None:
        """Return the time to the next message; None if nothing waits."""
        with self._lock:
            return max(0.0, self._due - self._clock()) if self._waiting or self._candidates else None

    def _send(self) -> None:
        """Send a message about all candidates that wait, or else all events."""
        if self._candidates:
            self._send_candidates()
            return
        with self._lock:
            self._sending, self._waiting = self._waiting, {}
            events = list(self._sending.values())
        if not events:
            return
        try:
            self._sender.send(compose(events, self._station))
        except SendError as error:
            self._keep(error)
            return
        self._note_sent(len(events))
        with self._lock:
            self._remember(events)
            self._sending = {}

    def _send_candidates(self) -> None:
        with self._lock:
            candidates = list(self._candidates)
        rows, image = [row for row, _ in candidates], candidates[0][1]
        try:
            self._sender.send(compose_candidates(rows, image, self._station))
        except SendError as error:
            self._keep(error)
            return
        self._note_sent(len(candidates))
        with self._lock:
            del self._candidates[: len(candidates)]

    def _note_sent(self, count: int) -> None:
        """Note that the service accepted a message about finds."""
        if self._delay:
            logger.warning("%s accepts notifications again", self._sender.name)
        with self._lock:
            self._delay, self._due = 0.0, self._clock() + self._config.interval
            self.sent += count

    def _keep(self, error: SendError) -> None:
        """Let events that could not be sent wait; log the first failure."""
        if not self._delay:
            logger.warning("%s cannot be notified: %s; detection continues", self._sender.name, error)
        with self._lock:
            self._delay = min(max(RETRY_SECONDS[0], 2 * self._delay), RETRY_SECONDS[1])
            self._due = self._clock() + self._delay
            self._waiting, self._sending = self._sending | self._waiting, {}  # later states replace earlier ones
            self._drop_excess()

    def _drop_excess(self) -> None:
        """Drop the events of the lowest score if too many wait."""
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[min(self._waiting.values(), key=lambda event: event.score).number]
            self.dropped += 1

    def _remember(self, events: list[Event]) -> None:
        """Note that the service was notified of events.

        Events that wait and have become the same objects meanwhile are removed.
        """
        now = self._clock()
        for event in events:
            for key in object_keys(event):
                self._notified.pop(key, None)
                self._notified[key] = now
        self._waiting = {number: event for number, event in self._waiting.items() if not self._is_known(event)}
        while len(self._notified) > MAX_REMEMBERED:
            del self._notified[next(iter(self._notified))]

    def _is_known(self, event: Event) -> bool:
        """Return whether the service was notified of an event's object a short while ago.

        What identifies it may become known later, so each part is then noted.
        """
        keys = object_keys(event)
        times = [self._notified[key] for key in keys if key in self._notified]
        if not times or self._clock() - max(times) >= self._config.again:
            return False
        for key in keys:
            self._notified.setdefault(key, max(times))
        return True
