"""Watch for something new near known galaxies, in a thread of its own.

Each stack that has no frame in common with the one before becomes a part of the reference of its field, or is compared
with it. Whatever goes wrong is a sentence in the log, once a cause; the run continues.
"""

from __future__ import annotations

import datetime
import logging
import queue
import sqlite3
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...errors import UserError
from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from ..recording.retention import FLOOR
from ..tracking.track import Track

if TYPE_CHECKING:
    from ...sky.differencing.difference import Image
    from ...sky.differencing.field_watch import FieldWatch
    from ...sky.differencing.search_area import SearchArea
    from ...sky.tycho2 import Tycho2
    from ...sky.wcs import Wcs
    from .references import Reference, ReferenceFolder
    from .store import CandidateStore, Listener

logger = logging.getLogger(__name__)

QUEUE_BYTES = 48 << 20
"""Maximum memory of the stacks that wait."""
MAX_WAITING = 8
CLOSE_SECONDS = 30.0
"""Maximum time that the end of a run waits for stacks that wait."""
MAX_FIELDS = 4
"""Number of fields that are in memory at the same time."""
_CLOUDED = 0.6
"""Share of the first stack's light below which a stack does not become a part of a reference."""


class _Stack(NamedTuple):
    light: np.ndarray
    wcs: Wcs
    time: datetime.datetime
    header: Mapping[str, Any]


class WatchSink:
    """A sink that compares stacks with references.

    A frame without a position costs nothing.

    Args:
        folder: the output folder; run: number of the run.
        references: folder of the references.
        depth: frames of a stack.
        needed: number of stacks that must show a candidate.
        close_seconds: returns the maximum time for the end of a run.
        floor: bytes of the disk that stay free.

    Attributes:
        listeners: take each candidate, from the watching thread; to be set before the first frame.
        closed: set when the last candidate was passed on, or will never be.
    """

    # Many parameters because each is an option of a run.
    def __init__(
        self, folder: Path, run: int, references: Path, depth: int, needed: int,
        close_seconds: Callable[[float], float] = lambda seconds: seconds, floor: int = FLOOR,
    ) -> None:  # fmt: skip
        self._floor = floor
        self.listeners: list[Listener] = []
        self.closed = threading.Event()
        self._folder, self._run, self._references = folder, run, references
        self._depth, self._needed, self._close_seconds = depth, needed, close_seconds
        self._waiting: queue.SimpleQueue[_Stack | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last = -1_000_000
        self._dropped = 0
        self._has_ended = False

    def frame(self, frame: Frame, detections: Detections, record: FrameRecord) -> None:
        """Pass on a stack that has no frame in common with the one before."""
        if frame.wcs is None or frame.planes is None or frame.stacked < self._depth or self._has_ended:
            return
        if record.frame - self._last < frame.stacked:
            return
        plane = frame.planes[len(frame.planes) // 2]  # green
        if self._waiting.qsize() >= min(MAX_WAITING, max(1, QUEUE_BYTES // (4 * plane.size))):
            self._dropped += 1
            return
        self._last = record.frame
        light = plane.astype(np.float32)  # a copy: a stack uses its arrays again
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="watch", daemon=True)
            self._thread.start()
        self._waiting.put(_Stack(light, frame.wcs.binned(frame.binning), frame.time, frame.header))

    def events(self, changed: list[Track]) -> None:
        """Do nothing: stacks are compared, not detections."""

    def close(self, frames: int, bad: int) -> None:
        """Wait for the stacks that wait."""
        if self._thread is None:
            if frames:
                logger.warning(
                    "nothing new was watched for: no stack of %d frames had a position on the sky", self._depth
                )
            self.closed.set()
            return
        self._waiting.put(None)
        self._thread.join(self._close_seconds(CLOSE_SECONDS))
        self.closed.set()
        if self._thread.is_alive():
            self._has_ended = True
            logger.warning("the last stacks are not compared with their reference: there was no time left")
        if self._dropped:
            logger.info("%d frames were passed over while stacks were compared with references", self._dropped)

    def _work(self) -> None:
        from .store import CandidateStore

        try:
            store = CandidateStore(self._folder, self._run, self._floor, tuple(self.listeners))
            watcher = Watcher(self._folder, self._run, self._references, self._needed, store)
        except UserError as error:
            logger.warning("nothing new is watched for: %s", error)
            self._has_ended = True
            return
        while (stack := self._waiting.get()) is not None and not self._has_ended:
            watcher.add(stack.light, stack.wcs, stack.time, stack.header)


class Watcher:
    """Compares the stacks of a run with the references of their fields.

    Args:
        folder: the output folder; run: number of the run; references: folder of them; needed: see `FieldWatch`.
        store: of the candidates; None for one without listeners.

    Raises:
        UserError: a catalogue or the folder of references cannot be used.
    """

    def __init__(
        self, folder: Path, run: int, references: Path, needed: int, store: CandidateStore | None = None
    ) -> None:
        from ...sky.catalogue.combined import open_catalogue
        from ...sky.tycho2 import open_tycho2
        from .references import ReferenceFolder
        from .store import CandidateStore

        self._needed, self._store = needed, store or CandidateStore(folder, run)
        self._stars: Tycho2 = open_tycho2()
        self._catalogue = open_catalogue()
        self._references: ReferenceFolder = ReferenceFolder(references)
        self._fields: dict[Path, FieldWatch] = {}
        self._said: set[str] = set()

    def add(self, light: np.ndarray, wcs: Wcs, time: datetime.datetime, header: Mapping[str, Any]) -> None:
        """Add a stack to the reference of its field, or compare it; failures are logged.

        Args:
            light: (h, w) float32 linear.
            wcs: of an image of this size.
            time: UTC.
            header: FITS keywords of a frame.
        """
        from ...sky.differencing.difference import Image, NotComparable
        from .references import camera_of

        try:
            image, camera = Image(light, wcs), camera_of(header)
            reference = self._references.find(wcs, camera)
            if reference is None:
                self._begin(image, camera, time)
            elif reference.path not in self._fields and reference.is_collecting(time):
                self._collect(reference, image, time)
            else:
                self._compare(reference, image, time)
        except NotComparable as error:
            self._say(f"a stack is not compared with its reference: {error}")
        except UserError as error:
            self._say(str(error))
        except (OSError, sqlite3.Error) as error:
            self._say(f"a candidate cannot be written: {getattr(error, 'strerror', None) or error}")
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            self._say(f"a stack cannot be compared with its reference: {error}")

    def _say(self, text: str) -> None:
        """Log a sentence; the same one only once."""
        if text not in self._said and len(self._said) < 50:
            self._said.add(text)
            logger.warning("%s", text)

    def _area(self, wcs: Wcs) -> SearchArea:
        from ...sky.differencing.search_area import SearchArea

        return SearchArea(self._catalogue.within(*wcs.centre, wcs.radius, extent=True), wcs)

    def _begin(self, image: Image, camera: str, time: datetime.datetime) -> None:
        """Begin the reference of a field that has catalogued galaxies."""
        galaxies = self._area(image.wcs).galaxies
        if not galaxies:
            self._say("no catalogued galaxy is in this field: nothing new is watched for in it")
            return
        reference = self._references.create(image, galaxies[0].name, camera, time)
        logger.info(
            "reference made for %s (%s): watching begins on the next night; more stacks of this one are added",
            reference.name, reference.path.name,
        )  # fmt: skip

    def _collect(self, reference: Reference, image: Image, time: datetime.datetime) -> None:
        """Add a stack to a reference unless it is full, or a cloud took the light."""
        from ...sky.differencing.difference import subtract
        from .references import MAX_STACKS

        if reference.stacks >= MAX_STACKS:
            return
        ratio = subtract(self._references.read(reference), image).flux_ratio
        if ratio < _CLOUDED:
            self._say(f"a stack with {ratio:.0%} of the light is not added to the reference of {reference.name}")
            return
        self._references.add(reference, image, time)

    def _compare(self, reference: Reference, image: Image, time: datetime.datetime) -> None:
        """Compare a stack with its reference; write what several stacks agree on."""
        watch = self._fields.get(reference.path) or self._open_field(reference)
        for candidate in watch.add(image, time).candidates:
            if problem := self._store.save(candidate, reference):
                self._say(problem)

    def _open_field(self, reference: Reference) -> FieldWatch:
        from ...sky.differencing.field_watch import FieldWatch

        image = self._references.read(reference)
        while len(self._fields) >= MAX_FIELDS:
            del self._fields[next(iter(self._fields))]
        seed = zlib.crc32(reference.path.name.encode())
        watch = FieldWatch(image, self._area(image.wcs), self._stars, self._needed, seed=seed)
        self._fields[reference.path] = watch
        logger.info("watching %s: compared with %s, %d stacks", reference.name, reference.path.name, reference.stacks)
        return watch
