"""List the catalogued objects in the frames of a run, detected or not.

Where nothing is detected, the list says what the telescope points at. Rows go to the table ``field.csv`` of the output
folder, and the list to the run's monitor and to the log at the end.
"""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import UserError
from ..events.frame_record import FrameRecord
from ..events.run_tables import RunTables
from ..frame import Detections, Frame
from ..tracking.track import Track
from .health import RunMonitor

if TYPE_CHECKING:
    from ...sky.catalogue.in_field import FieldObject
    from ...sky.wcs import Wcs

logger = logging.getLogger(__name__)

MOVED = 0.1
"""Share of a frame's width by which the sky moves until its objects are listed again."""
CLOSE_SECONDS = 5.0


class _News(NamedTuple):
    """A new field, or objects that were detected for the first time in an hour."""

    time: str
    wcs: Wcs | None
    detected: frozenset[str]
    header: dict[str, Any]


class FieldSink:
    """A sink that lists objects, in a thread of its own.

    It also writes where the telescope stands, if headers say so. A frame without a position costs nothing; others are
    listed only if the sky has moved.

    Args:
        folder: the output folder; None to write no table.
        run: number of the run.
        monitor: gets the list.
        table: a user's catalogue; None for OpenNGC alone.
    """

    def __init__(self, folder: Path | None, run: int, monitor: RunMonitor, table: Path | None = None) -> None:
        self._tables, self._run, self._table = RunTables(folder), run, table
        self._news: queue.SimpleQueue[_News | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._wcs: Wcs | None = None
        self._site: tuple[float, float] | None = None
        self._hour = ""
        self._detected: frozenset[str] = frozenset()
        self._objects: dict[str, FieldObject] = {}
        monitor.field_report = self.report

    def frame(self, frame: Frame, detections: Detections, record: FrameRecord) -> None:
        """Note the objects of a frame if its field or a detection is new."""
        wcs = frame.wcs
        if wcs is None:
            return
        hour = record.time[:13]
        is_new = hour != self._hour or self._wcs is None or _has_moved(self._wcs, wcs)
        known = frozenset() if hour != self._hour else self._detected
        names = {item.sky.object_name for item in record.detections if item.sky and item.sky.object_name}
        detected = frozenset(name for name in names if name and name not in known)
        if not (is_new or detected):
            return
        self._hour, self._detected = hour, known | detected
        if is_new:
            self._wcs = wcs
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="field", daemon=True)
            self._thread.start()
        self._news.put(_News(record.time, wcs if is_new else None, detected, frame.header if is_new else {}))

    def events(self, changed: list[Track]) -> None:
        """Do nothing: objects are those of frames."""

    def close(self, frames: int, bad: int) -> None:
        """Write what is left, and log the list."""
        if self._thread is None:
            return
        self._news.put(None)
        self._thread.join(CLOSE_SECONDS)
        from ...sky.catalogue.in_field import field_text

        if text := field_text(self.report()):
            logger.info("known objects in the field: %s", text)

    def report(self) -> list[FieldObject]:
        """Return the objects of the run's fields, from any thread."""
        return list(self._objects.copy().values())

    def _work(self) -> None:
        """List the objects of new fields until there is None."""
        from ...sky.catalogue.combined import open_catalogue
        from ...sky.catalogue.in_field import FieldObject, objects_in_frame
        from ..events.field_table import FIELD_FILE, field_row

        try:
            catalogue = open_catalogue(self._table)
        except UserError as error:
            logger.debug("objects of the field are not listed: %s", error)  # those who name detections warn
            catalogue = None
        while (news := self._news.get()) is not None:
            self._note_site(news)
            if catalogue is None:
                continue
            rows = []
            if news.wcs is not None:
                for item in objects_in_frame(catalogue, news.wcs):
                    before = self._objects.get(item.name)
                    self._objects[item.name] = before or FieldObject.from_catalogue(item)
                    rows.append(FieldObject.from_catalogue(item, item.name in news.detected))
            listed = {item.name for item in rows}
            for name in news.detected & self._objects.keys():
                self._objects[name] = replace(self._objects[name], detected=True)
                if name not in listed:
                    rows.append(self._objects[name])
            self._tables.append(FIELD_FILE, [field_row(news.time, self._run, item) for item in rows])

    def _note_site(self, news: _News) -> None:
        """Write where the telescope stands, once for each place in a run."""
        from ...sky.site import site_of
        from ..events.field_table import SITE_FILE, site_row

        site = site_of(news.header)
        if site is not None and site != self._site:
            self._site = site
            self._tables.append(SITE_FILE, [site_row(news.time, self._run, site)])


def _has_moved(before: Wcs, now: Wcs) -> bool:
    """Return whether a frame shows another part of the sky; called for each frame."""
    if before is now:
        return False
    if before.crval == now.crval:  # followed from the same solution
        shift = max(abs(before.crpix[0] - now.crpix[0]), abs(before.crpix[1] - now.crpix[1]))
        return shift > MOVED * now.width
    from ...sky.angles import separation

    return float(separation(*before.centre, *now.centre)) > MOVED * now.radius
