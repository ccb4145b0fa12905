"""The sink that notifies services of finds."""

from __future__ import annotations

import socket
import time

from ..events.candidates import CandidateRow
from ..events.event import RunInfo, events_from_tracks
from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from ..system.stop_deadline import StopDeadline
from ..tracking.track import Track
from .config import NotifyConfig
from .rules import check_classes
from .sender import open_senders
from .service import ServiceThread

CLOSE_SECONDS = 4.0
"""Maximum time that closing waits for the services, in a run that ends by itself."""


class NotifySink:
    """A sink that notifies services, each from its own thread.

    A disk that is full does not matter to it, as the crops come from memory. A service that hangs slows down neither
    the frames nor the end of a run that is asked to stop.

    Args:
        config: services and rules.
        run: identifies the run, and has the classes of the classifier.
        deadline: of a run that is asked to stop.

    Attributes:
        services: a thread for each address.

    Raises:
        UsageError: an address cannot be used, or the classifier has not a wanted class.
    """

    def __init__(self, config: NotifyConfig, run: RunInfo, deadline: StopDeadline) -> None:
        check_classes(config.classes, run.classes)
        senders = open_senders(config.urls)
        station = socket.gethostname()
        self._run, self._deadline = run, deadline
        self.services = [ServiceThread(sender, config, station) for sender in senders]

    def frame(self, frame: Frame, detections: Detections, record: FrameRecord) -> None:
        """Do nothing: only finds are notified."""

    def events(self, changed: list[Track]) -> None:
        """Pass copies of the changed events to the services' threads."""
        if events := events_from_tracks(changed, self._run):
            for service in self.services:
                service.add(events)

    def candidate(self, row: CandidateRow, image: bytes, is_new: bool) -> None:
        """Pass a new candidate, with its image as JPEG, to the services' threads."""
        for service in self.services if is_new else ():
            service.add_candidate(row, image)

    def close(self, frames: int, bad: int) -> None:
        """Send the rest, within the time that a run has for its end."""
        end = time.monotonic() + self._deadline.limit(CLOSE_SECONDS)
        for service in self.services:
            service.close()
        for service in self.services:
            service.join(max(0.0, end - time.monotonic()))
