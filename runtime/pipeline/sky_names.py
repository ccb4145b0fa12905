"""Name the detections of frames that have a position on the sky."""

from __future__ import annotations

import logging
from pathlib import Path

from ...errors import MissingExtra
from ...sky.catalogue.combined import open_catalogue
from ...sky.matching import SkyMatcher, light_angle
from ...sky.position import SkyPosition
from ..events.objects import ObjectRegistry, read_objects
from ..tracking.identity import ObjectIdentity
from .tasks import FrameTask

logger = logging.getLogger(__name__)


class SkyNames:
    """Positions, names and identity of detections.

    Args:
        table: a user's catalogue; None for OpenNGC alone.
        events: the event file, whose objects are known; None if nothing is written.

    Attributes:
        identity: of the objects of this run and of earlier ones in the folder.
    """

    def __init__(self, table: Path | None = None, events: Path | None = None) -> None:
        self.identity = ObjectIdentity((read_objects(events) if events else ObjectRegistry()).identify)
        try:
            self._matcher = SkyMatcher(open_catalogue(table))
        except MissingExtra as error:
            logger.warning("objects are not named: %s", error)
            self._matcher = SkyMatcher(None, "not named: the catalogue is not installed")

    def positions(self, task: FrameTask) -> list[SkyPosition]:
        """Return a position for each detection of a frame; empty if none is known."""
        count = len(task.detections)
        if not count:
            return []
        if task.solution is None:
            return [SkyPosition(sky_note=task.sky_note)] * count if task.sky_note else []
        frame, boxes = task.frame, task.detections.boxes
        angles = [light_angle(frame.pixels, box) for box in boxes]
        return self._matcher.identify(task.solution, frame.source_boxes(boxes), angles)
