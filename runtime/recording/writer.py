"""The thread that writes: events to the store, crops and frames to files, in batches, and again after a full disk."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ..errors import RunFailure
from ..events.event import Event
from ..events.store import EventStore
from ..frame import Frame
from .fits_writer import Cards, event_cards, fits_bytes, frame_cards
from .frame_log import FrameLog
from .retention import RetainedFiles

BATCH_SECONDS, BATCH_EVENTS = 1.0, 64
"""A batch is written after so long, or once so many events wait."""
CLOSE_SECONDS = 15.0
MOST_LINES, MOST_EVENTS, MOST_PICTURES = 20_000, 10_000, 256
"""What may wait while the disk takes nothing; beyond it lines, rows and pictures are given up, and counted."""
NO_PICTURE = np.zeros((0, 0, 3), np.uint8)


class OutputWriter:
    """Writes what the loop hands over, from one thread of its own.

    A batch is: the old evidence that goes, the new crops, then one transaction with all rows, then the lines of the
    log. So a row never names a crop that is not whole. Where the disk is full or below its floor of free space, crops
    and lines are given up and counted, rows wait; one alert says so, and one that it is over.

    Args:
        store, evidence, log: where to; used by the thread only until `close`.
        crops: folder of the run's crops, by its name in the output folder.
        fits: whether crops are written as FITS too.
        alert: told what a person should know.

    Attributes:
        wanted: name of the frame that is to be kept, or None; set by `want`.
        stopped: why no evidence is written now; "" while it is.
        crops_lost, lines_lost, events_lost: what was given up.
        pending: events that wait for the disk.
        failure: after `close`: how much was lost, and why, where that is events or the writer failed; else None.
    """

    def __init__(
        self,
        store: EventStore,
        evidence: RetainedFiles,
        log: FrameLog,
        crops: str,
        fits: bool,
        alert: Callable[[str], None],
    ) -> None:
        self._store, self._evidence, self._log, self._crops, self._fits = store, evidence, log, crops, fits
        self._alert = alert
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ending = self._failed = False
        self._lines: list[str] = []
        self._events: dict[int, Event] = {}
        self._pictures: list[tuple[str, bytes | np.ndarray, Cards]] = []
        self._views: dict[int, int] = {}  # of each object that goes on: the frame of the view on the disk
        self._gone: list[str] = []  # crops that went, and that rows may still name
        self._since = 0.0
        self.wanted: str | None = None
        self.stopped = ""
        self.failure: RunFailure | None = None
        self.crops_lost = self.lines_lost = 0
        self._refused: set[int] = set()  # events that found no place, until a later state of them does
        missing = [name for name in store.crops() if name not in evidence]
        store.save([], missing)  # crops that went while no run was there, or as the last one was cut off
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Events that wait for the disk."""
        return len(self._events)

    @property
    def events_lost(self) -> int:
        """Events that were given up."""
        return len(self._refused)

    @property
    def lost(self) -> bool:
        """Whether anything was given up."""
        return bool(self.crops_lost or self.lines_lost or self.events_lost)

    @property
    def evidence_bytes(self) -> int:
        """Bytes of all evidence in the folder."""
        return self._evidence.size

    def line(self, text: str) -> None:
        """Take a line of the log of frames."""
        with self._lock:
            if len(self._lines) < MOST_LINES:
                self._lines.append(text)
            else:
                self.lines_lost += 1

    def events(self, events: list[Event]) -> None:
        """Take events; one that still waits is replaced by its later state."""
        with self._lock:
            for event in events:
                self._take(event)

    def want(self, name: str) -> None:
        """Ask for the next frame to be kept as a PNG of this name in the output folder."""
        self.wanted = name

    def keep(self, frame: Frame) -> None:
        """Take the frame that was wanted, as it is looked at, and with all its depth where it has more than 8 bits.

        That is the frame or stack as 16-bit PNG (``NAME-16bit.png``; a mean is rounded, what is not in 0..65535 is not
        written), and as FITS where that is wanted.
        """
        name, self.wanted = self.wanted, None
        if not name:
            return
        pixels = frame.pixels.copy()
        self.picture(name, pixels)
        if frame.raw is not None and frame.raw.min() >= 0.0 and 1.0 < frame.raw.max() <= 65535.0:
            self.picture(f"{name.removesuffix('.png')}-16bit.png", np.rint(frame.raw).astype(np.uint16))
        if self._fits:
            deep = pixels if frame.raw is None else frame.raw.copy()
            self.picture(str(Path(name).with_suffix(".fits")), deep, frame_cards(frame))

    def picture(self, name: str, content: bytes | np.ndarray, cards: Cards | None = None) -> None:
        """Take a picture, encoded or pixels to be encoded, by its name in the output folder (PNG, FITS)."""
        with self._lock:
            if len(self._pictures) < MOST_PICTURES:
                self._pictures.append((name, content, cards or {}))
            else:
                self.crops_lost += 1

    def close(self, ended: str, frames: int, bad: int) -> None:
        """Write what waits, note the end of the run, and close everything; what was lost is then in `failure`."""
        self._ending = True
        self._wake.set()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self.failure = RunFailure(
                "evidence was lost: the disk does not answer, and what was found last may not be written"
            )
            return
        problem = ""
        try:
            self._store.end(ended, frames, bad)
            self._store.close()
            self._log.close()
        except (OSError, sqlite3.Error) as trouble:
            problem = _reason(trouble)
            self._alert(f"the end of the run could not be noted: {problem}")
        with self._lock:
            self._refused |= set(self._events)
            self.lines_lost += len(self._lines)
            self.crops_lost += len(self._pictures)
        given_up = f"{self.crops_lost} pictures and {self.lines_lost} lines of the log"
        if self._refused or self._failed:
            why = self.stopped or problem or "more than the disk could take"
            self.failure = RunFailure(f"evidence was lost: {self.events_lost} events, {given_up} ({why})")
        elif self.lost:
            self._alert(f"more than the disk could take: {given_up} were given up; every event is written")

    def _take(self, event: Event) -> None:
        """Put an event in the queue, without its picture where too many wait; the lock is held."""
        if event.number not in self._events and len(self._events) >= MOST_EVENTS:
            self._refused.add(event.number)
            return
        if event.cutout.size and sum(bool(one.cutout.size) for one in self._events.values()) >= MOST_PICTURES:
            event = replace(event, cutout=NO_PICTURE, deep=None)
            self.crops_lost += 1
        self._events[event.number] = event
        self._refused.discard(event.number)
        if len(self._events) >= BATCH_EVENTS and not self.stopped:
            self._wake.set()

    def _work(self) -> None:
        try:
            while not self._ending:
                self._wake.wait(BATCH_SECONDS)
                self._wake.clear()
                self._batch()
            self._batch()
        except BaseException:
            self._failed, self.stopped = True, "its writer failed"
            if not self._ending:
                self._alert("evidence has ended: its writer failed; detection goes on")
            raise

    def _batch(self) -> None:
        with self._lock:
            events, self._events = self._events, {}
            lines, self._lines = self._lines, []
            pictures, self._pictures = self._pictures, []
        try:
            self._save(events, lines, pictures)
        except BaseException:
            self._put_back(events)  # nobody writes it any more: `close` counts it
            self.lines_lost += len(lines)
            self.crops_lost += len(pictures)
            raise

    def _save(
        self, events: dict[int, Event], lines: list[str], pictures: list[tuple[str, bytes | np.ndarray, Cards]]
    ) -> None:
        """Write a batch; each of its parts is emptied once it is on the disk or was given up and counted."""
        problem = ""
        try:
            self._gone += self._evidence.retire()
            if not self._evidence.room():
                problem = "the disk is below its floor of free space"
        except OSError as trouble:
            problem = _reason(trouble)
        rows, problem = self._pictures_of(events, problem)
        for name, content, cards in pictures:
            problem = problem or self._write(name, _encoded(name, content, cards))
            self.crops_lost += bool(problem)
        pictures.clear()
        try:
            if rows or self._gone:
                self._store.save(rows, self._gone)
                self._gone = []
        except sqlite3.Error as trouble:
            problem = problem or _reason(trouble)
            self._put_back(events)
        events.clear()
        if lines:
            problem = self._write_lines(lines, problem)
            lines.clear()
        self._tell(problem)

    def _pictures_of(self, events: dict[int, Event], problem: str) -> tuple[list[tuple[Event, str | None]], str]:
        """Write the crops of events; return the events with the name of their crop, and what went wrong."""
        rows = []
        for event in events.values():
            name = f"{self._crops}/{event.number:05d}.png"
            if event.cutout.size and self._views.get(event.number) != event.best_frame:
                if not problem:
                    problem = self._write(name, _encoded(name, event.cutout, {}))
                    if not problem and self._fits:
                        other = str(Path(name).with_suffix(".fits"))
                        problem = self._write(other, _encoded(other, _deepest(event), event_cards(event)))
                if problem:
                    self.crops_lost += 1
                else:
                    self._views[event.number] = event.best_frame
            if event.ended:
                self._views.pop(event.number, None)
            rows.append((event, name if name in self._evidence else None))
        try:
            self._evidence.sync()
        except OSError as trouble:
            problem = problem or _reason(trouble)
        return rows, problem

    def _write(self, name: str, content: bytes) -> str:
        """Write a file; return what went wrong."""
        try:
            self._evidence.write(name, content)
        except OSError as trouble:
            return _reason(trouble)
        return ""

    def _write_lines(self, lines: list[str], problem: str) -> str:
        if not problem:
            try:
                self._log.write(lines)
                return ""
            except OSError as trouble:
                problem = _reason(trouble)
        self.lines_lost += len(lines)
        return problem

    def _put_back(self, events: dict[int, Event]) -> None:
        with self._lock:
            later, self._events = self._events, {}
            for event in [*(replace(one, cutout=NO_PICTURE, deep=None) for one in events.values()), *later.values()]:
                self._take(event)

    def _tell(self, problem: str) -> None:
        """Alert once when evidence stops, and once when it is written again."""
        if problem and not self.stopped:
            self._since = time.monotonic()
            self._alert(f"evidence has stopped: {problem}; detection goes on, and this is tried again")
        elif self.stopped and not problem:
            self._alert(f"evidence is kept again, after {time.monotonic() - self._since:.0f} s")
        self.stopped = problem


def _encoded(name: str, picture: bytes | np.ndarray, cards: Cards) -> bytes:
    if isinstance(picture, bytes):
        return picture
    if name.endswith(".fits"):
        return fits_bytes(picture, cards)
    done, content = cv2.imencode(".png", picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"{picture.shape} cannot be encoded as PNG")
    return content.tobytes()


def _deepest(event: Event) -> np.ndarray:
    return event.cutout if event.deep is None else event.deep


def _reason(problem: Exception) -> str:
    """Say in a few words what the disk answered."""
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    return str(problem)
