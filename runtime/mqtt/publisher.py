"""Publish a run to an MQTT broker: its availability, events and statistics.

::

    PREFIX/available   online or offline; retained, and the last will
    PREFIX/events      a JSON object for each event that is new, has changed (update) or is over (end), with a stable id
    PREFIX/candidates  one for each candidate of `watch` that is new, or is seen again (update)
    PREFIX/stats       a JSON object at regular intervals: the figures of `RunMonitor.stats`

Events are stored on disk until the broker has acknowledged them, up to a limit, across outages and restarts; they are
delivered at least once.
"""

from __future__ import annotations

import json
import logging
import math
import socket
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ...errors import UsageError
from ..events.event import RunInfo, events_from_tracks
from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from ..monitoring.health import RunMonitor
from ..recording.writer import OutputWriter
from ..system.backoff import Backoff
from ..tracking.track import Track
from .address import Broker
from .discovery import discovery_messages
from .inbox import Inbox
from .outbox import open_outbox

logger = logging.getLogger(__name__)

MAX_IN_FLIGHT = 100
"""Messages sent but not yet acknowledged."""
POLL_SECONDS = 0.5
CLOSE_SECONDS, GOODBYE_SECONDS = 0.8, 0.1
"""Time at the end for all remaining messages, and for the last one."""
COMMIT_SECONDS, HANG_SECONDS = 20.0, 0.1
"""Maximum time that closing waits for the last commit, and for a call to the disk that does not return."""
RECONNECT_SECONDS = (1, 60)
"""Delay between attempts to reach the broker: the first, and the longest after doubling."""
KEEPALIVE_SECONDS = 30


class MqttSink:
    """A sink that publishes to a broker from its own threads.

    A broker that hangs does not slow down the frame loop. A lost and a restored connection are logged as warnings.

    Args:
        broker: where to publish.
        run: identifies the run.
        folder: the output folder; unacknowledged messages are stored there in ``mqtt.sqlite``.
        monitor: has the figures of the run.
        writer: of the output folder; an event is published once it is in the event file. None publishes at once.

    Attributes:
        connected: whether the broker is connected.
        delivered: event messages that the broker has acknowledged.
        inbox: takes further messages.

    Raises:
        UsageError: ``mqtt.sqlite`` or the authority's certificate cannot be used.
    """

    def __init__(
        self, broker: Broker, run: RunInfo, folder: Path, monitor: RunMonitor, writer: OutputWriter | None = None
    ) -> None:
        self._broker, self._run, self._monitor = broker, run, monitor
        self._writer = writer
        self._outbox = open_outbox(folder / "mqtt.sqlite")
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._deadline = 0.0  # when to stop delivering, once the run has ended
        self._disconnected = threading.Event()
        self.inbox = Inbox()
        self._acknowledged: set[int] = set()
        self._in_flight: dict[int, int] = {}  # paho's message id -> position in the outbox
        self._last_sent = 0  # position in the outbox
        self.connected = False
        self._outage_logged = self._replaced_logged = False
        self._backoff = Backoff(*RECONNECT_SECONDS)
        self.delivered = 0
        self._client = self._connect()
        self._thread = threading.Thread(target=self._run_thread, name="mqtt", daemon=True)
        self._thread.start()
        if writer:
            writer.on_commit(self.inbox.add)
            writer.on_clock_step(self.inbox.move_times)

    @property
    def is_alive(self) -> bool:
        """Whether the publishing thread is running."""
        return self._thread.is_alive()

    @property
    def lost(self) -> int:
        """Messages dropped because too many waited to be written to disk."""
        return self.inbox.lost

    @property
    def pending(self) -> int:
        """Number of events that are stored and not yet acknowledged.

        Those not yet stored are not counted.
        """
        return len(self._outbox)

    def frame(self, frame: Frame, named: Detections, record: FrameRecord) -> None:
        """Do nothing: only the figures of frames are published."""

    def events(self, changed: list[Track]) -> None:
        """Queue a message for each changed track, unless the writer does so later."""
        if self._writer is None:
            self.inbox.add(events_from_tracks(changed, self._run))

    def close(self, frames: int, bad: int) -> None:
        """Publish the rest within `CLOSE_SECONDS` of the last commit, then go offline."""
        seconds = CLOSE_SECONDS
        if self._writer:
            self._writer.closed.wait(COMMIT_SECONDS)
            seconds = self._writer.deadline.limit(CLOSE_SECONDS / 2 if self._writer.failure else CLOSE_SECONDS)
        self._deadline = time.monotonic() + seconds
        self._closing = True
        self._wake.set()
        self._thread.join(seconds + HANG_SECONDS)
        if self._thread.is_alive():  # in a call to the disk
            logger.warning("messages for the broker %s may be lost: the disk does not respond", self._broker.name)
            return
        wire = self._client.socket()
        if self.connected and not self._publish_offline() and isinstance(wire, socket.socket):
            with suppress(OSError):  # the connection was lost just now
                wire.shutdown(socket.SHUT_RDWR)  # without an MQTT DISCONNECT, so that the broker sends the last will
        else:
            self._client.disconnect()
        if self.connected:
            self._disconnected.wait(GOODBYE_SECONDS)
        try:
            pending = len(self._outbox)
        except sqlite3.Error as error:
            pending = 0
            logger.warning("messages for the broker %s may be lost: mqtt.sqlite: %s", self._broker.name, error)
        self._outbox.close()
        if pending:
            logger.warning("%d messages wait for the broker %s: the next run delivers them", pending, self._broker.name)
        if lost := self.lost + self._outbox.lost:
            logger.warning("%d messages for the broker %s were dropped: too many waited", lost, self._broker.name)

    def _run_thread(self) -> None:
        """Publish until the end, or until the outbox cannot be read."""
        try:
            self._publish_until_closed()
        except sqlite3.Error as error:
            logger.warning("publishing has ended: mqtt.sqlite cannot be read: %s; detection continues", error)

    def _publish_until_closed(self) -> None:
        published_at = 0.0
        while not self._closing:
            self._wake.wait(min(POLL_SECONDS, self._broker.interval))
            self._wake.clear()
            self._check_outbox()
            self._move_messages()
            if self.connected and time.monotonic() - published_at >= self._broker.interval:
                published_at = time.monotonic()
                self._client.publish(self._topic("stats"), json.dumps(self._monitor.stats()))
        self._move_messages()
        while self.connected and len(self._outbox) and time.monotonic() < self._deadline:
            self._wake.wait(0.05)
            self._wake.clear()
            self._move_messages()

    def _check_outbox(self) -> None:
        """Write to a new file if the queue's was removed and its folder is back."""
        outbox = self._outbox
        reason = outbox.why_moved()
        if not reason:
            return
        if outbox.path.exists():
            if not self._replaced_logged:
                self._replaced_logged = True
                outbox.detach()
                logger.warning("%s %s: messages that wait at the end of the run are lost", outbox.path, reason)
        elif outbox.path.parent.is_dir():
            waiting = len(outbox)
            self._outbox = outbox.recreated()
            logger.warning("%s %s: %d messages that wait are in a new one", outbox.path, reason, waiting)

    def _move_messages(self) -> None:
        """Move messages from the inbox to the outbox and from there to the broker.

        Remove those acknowledged.
        """
        with self._lock:
            acknowledged, self._acknowledged = self._acknowledged, set()
        contents, clock_step = self.inbox.take()
        if clock_step:
            self._outbox.move_times(self._run.uid, clock_step)
        self._outbox.add((self._topic(name), content) for name, content in contents)
        delivered = [self._in_flight.pop(mid) for mid in acknowledged if mid in self._in_flight]
        self._outbox.remove(delivered)
        self.delivered += len(delivered)
        if self.connected:
            for message in self._outbox.peek(MAX_IN_FLIGHT - len(self._in_flight), self._last_sent):
                sent = self._client.publish(message.topic, message.content, qos=1)
                self._in_flight[sent.mid] = message.position
                self._last_sent = message.position

    def _publish_offline(self) -> bool:
        """Publish that the run has ended; return whether the broker has acknowledged it."""
        message = self._client.publish(self._topic("available"), "offline", qos=1, retain=True)
        try:
            message.wait_for_publish(max(GOODBYE_SECONDS, self._deadline - time.monotonic()))
            return message.is_published()
        except (RuntimeError, ValueError):  # the connection was lost just now
            return False

    def _topic(self, name: str) -> str:
        return f"{self._broker.prefix}/{name}"

    def _connect(self) -> paho.Client:
        broker = self._broker
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"galaxy-edge-{self._run.uid}")
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls:
            try:
                client.tls_set(None if broker.authority is None else str(broker.authority))
            except OSError as error:  # SSLError is a subclass
                raise UsageError(f"--mqtt-ca {broker.authority} cannot be used: {error.strerror}") from None
        client.will_set(self._topic("available"), "offline", qos=1, retain=True)
        client.reconnect_delay_set(*RECONNECT_SECONDS)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda *_: self._log_outage("it does not answer")
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.connect_async(broker.host, broker.port, keepalive=KEEPALIVE_SECONDS)
        client.loop_start()
        return client

    def _on_connect(
        self, client: paho.Client, _: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._log_outage(str(reason).lower())
            return
        # Without acknowledgement, as it is sent at each connection: unacknowledged ones would accumulate in memory.
        client.publish(self._topic("available"), "online", qos=0, retain=True)
        if self._broker.discovery:
            for topic, content in discovery_messages(self._broker.discovery, self._broker.prefix):
                client.publish(topic, json.dumps(content), qos=0, retain=True)
        self._backoff.connected()
        if self._outage_logged:
            logger.warning("the broker %s can be reached again", self._broker.name)
        self._outage_logged = False
        self.connected = True
        self._wake.set()

    def _on_disconnect(
        self, client: paho.Client, _: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        was_connected, self.connected = self.connected, False
        if self._closing:
            client.loop_stop()  # called from the loop's own thread, it only asks the loop to end
            self._disconnected.set()
            return
        if was_connected:
            self._backoff.lost()
        delay = math.ceil(self._backoff.next_wait())
        client.reconnect_delay_set(delay, max(delay, RECONNECT_SECONDS[1]))
        losses = self._backoff.losses
        again = f", {losses} times without a good minute between" if losses > 1 else ""
        self._log_outage(f"the connection was lost{again}")

    def _on_publish(
        self, client: paho.Client, _: object, mid: int, reason: ReasonCode, properties: Properties | None
    ) -> None:
        with self._lock:
            self._acknowledged.add(mid)
        self._wake.set()

    def _log_outage(self, reason: str) -> None:
        """Log, once per outage, that the broker cannot be reached."""
        if not self._outage_logged and self._backoff.is_worth_a_message:
            self._outage_logged = True
            logger.warning("the broker %s cannot be reached (%s); events wait on the disk", self._broker.name, reason)
