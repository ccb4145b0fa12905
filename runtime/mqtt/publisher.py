"""Tell a broker: whether the run is there, its events, its figures.

::

    PREFIX/available   online or offline; the last will, retained
    PREFIX/events      a JSON object for each event that is new, has changed (update) or is over (end), with a stable id
    PREFIX/stats       a JSON object every few seconds: the figures of `Pulse.stats`

Events wait on the disk until the broker has acknowledged them, up to a cap, over outages and restarts; one may come
twice.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import paho.mqtt.client as paho

from ...errors import UsageError
from ..events.event import Event, RunInfo, events_from_tracks
from ..frame import Detections, Frame
from ..monitoring.health import RunMonitor
from ..tracking.track import Track
from .address import BROKER_PORTS, parse_broker_url, parse_topic
from .discovery import discovery_messages
from .outbox import open_outbox

NEW, UPDATE, END = "new", "update", "end"
MAX_IN_FLIGHT = 100
"""Messages that may be on their way."""
IDLE_SECONDS = 0.5
CLOSE_SECONDS, GOODBYE_SECONDS = 0.8, 0.1
"""For all that is left to say at the end, and for the last word of it."""
MAX_INBOX = 10_000
"""Messages that may wait for the thread that puts them on the disk."""
RECONNECT_SECONDS = (1, 60)
"""Seconds between attempts to reach the broker: the first, and the longest, after doubling."""


@dataclass(frozen=True)
class Broker:
    """Where to publish.

    Attributes:
        host, port, tls, user, password: of the broker.
        prefix: of every topic.
        discovery: prefix of Home Assistant's discovery topics; "" for none.
        every: seconds between figures.
        authority: certificate of the authority that vouches for the broker, where the system does not know it.
    """

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None
    prefix: str
    discovery: str
    every: float
    authority: Path | None = None

    @property
    def name(self) -> str:
        """The broker without its secrets."""
        return f"{self.host}:{self.port}"


def parse_broker(url: str, prefix: str, discovery: str, every: float, authority: Path | None = None) -> Broker:
    """Read ``mqtt[s]://[USER:PASSWORD@]HOST[:PORT]``.

    Raises:
        UsageError: it is no such address, or a prefix is no topic.
    """
    parts = parse_broker_url(url)
    if not parse_topic(prefix):
        raise UsageError("topics need a beginning: --mqtt-prefix is empty")
    user, password = (unquote(one) if one is not None else None for one in (parts.username, parts.password))
    tls = parts.scheme == "mqtts"
    port = parts.port or BROKER_PORTS[parts.scheme]
    return Broker(parts.hostname or "", port, tls, user, password, prefix, parse_topic(discovery), every, authority)


class MqttSink:
    """A sink that publishes, from threads of its own: a dead broker costs the loop nothing.

    Args:
        broker: where to.
        run: which run this is.
        folder: the output folder, which keeps what waits in ``mqtt.sqlite``.
        pulse: has the figures.
        alert: told when the broker cannot be reached, and when it can again.

    Raises:
        UsageError: the file of what waits cannot be used.
    """

    def __init__(
        self, broker: Broker, run: RunInfo, folder: Path, pulse: RunMonitor, alert: Callable[[str], None]
    ) -> None:
        self._broker, self._run, self._pulse, self._alert = broker, run, pulse, alert
        self._outbox = open_outbox(folder / "mqtt.sqlite", alert)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ending = False
        self._until = 0.0  # when to give up what is left, once it ends
        self._gone = threading.Event()
        self._inbox: dict[tuple[str, str], Event] = {}
        self._known: set[int] = set()
        self._acknowledged: set[int] = set()
        self._under_way: dict[int, int] = {}  # message id -> place in the outbox
        self._given = 0  # the last place that was given to the broker
        self._connected = False
        self._told = False
        self.lost = 0
        self._client = self._connect()
        self._thread = threading.Thread(target=self._work, name="mqtt", daemon=True)
        self._thread.start()

    def frame(self, frame: Frame, named: Detections, record: dict[str, Any]) -> None:
        """Frames are not published; their figures are."""

    def events(self, changed: list[Track]) -> None:
        """Take tracks that began, changed or ended."""
        with self._lock:
            for event in events_from_tracks(changed, self._run):
                over = event.ended or not event.is_object
                if event.number not in self._known:
                    if not event.is_object:
                        continue  # its end was told when it turned out to be none
                    self._known.add(event.number)
                    self._take(NEW, event)
                elif not over:
                    self._take(UPDATE, event)
                if over:
                    self._known.discard(event.number)
                    self._take(END, event)

    def close(self, frames: int, bad: int) -> None:
        """Publish what waits, as far as a moment goes, and say goodbye."""
        self._until = time.monotonic() + CLOSE_SECONDS
        self._ending = True
        self._wake.set()
        self._thread.join()
        wire = self._client.socket()
        if self._connected and not self._said_goodbye() and isinstance(wire, socket.socket):
            with suppress(OSError):  # it was lost just now
                wire.shutdown(socket.SHUT_RDWR)  # no farewell: the broker then speaks the last will
        else:
            self._client.disconnect()
        if self._connected:
            self._gone.wait(GOODBYE_SECONDS)
        try:
            waiting = len(self._outbox)
        except sqlite3.Error as problem:
            waiting = 0
            self._alert(f"what waits for the broker {self._broker.name} may be lost: mqtt.sqlite: {problem}")
        self._outbox.close()
        if waiting:
            self._alert(f"{waiting} messages wait for the broker {self._broker.name}: the next run delivers them")
        if lost := self.lost + self._outbox.lost:
            self._alert(f"{lost} messages to the broker {self._broker.name} were given up: too many waited")

    def _take(self, kind: str, event: Event) -> None:
        """Put a message in the inbox; an update that still waits is replaced. The lock is held."""
        key = (event.id, kind)
        if key not in self._inbox and len(self._inbox) >= MAX_INBOX:
            self.lost += 1
            return
        self._inbox[key] = event

    def _work(self) -> None:
        """Move messages until the end, or until their file can be read no more."""
        try:
            self._move_on()
        except sqlite3.Error as problem:
            self._alert(f"publishing has ended: mqtt.sqlite cannot be read: {problem}; detection goes on")

    def _move_on(self) -> None:
        """Move messages: inbox, outbox, broker."""
        told = 0.0
        while not self._ending:
            self._wake.wait(min(IDLE_SECONDS, self._broker.every))
            self._wake.clear()
            self._move()
            if self._connected and time.monotonic() - told >= self._broker.every:
                told = time.monotonic()
                self._client.publish(self._topic("stats"), json.dumps(self._pulse.stats()))
        self._move()
        while self._connected and len(self._outbox) and time.monotonic() < self._until:
            self._wake.wait(0.05)
            self._wake.clear()
            self._move()

    def _move(self) -> None:
        with self._lock:
            inbox, self._inbox = self._inbox, {}
            acknowledged, self._acknowledged = self._acknowledged, set()
        topic = self._topic("events")
        self._outbox.add((topic, _content(kind, event)) for (_, kind), event in inbox.items())
        self._outbox.done([self._under_way.pop(mid) for mid in acknowledged if mid in self._under_way])
        if self._connected:
            for message in self._outbox.first(MAX_IN_FLIGHT - len(self._under_way), self._given):
                sent = self._client.publish(message.topic, message.content, qos=1)
                self._under_way[sent.mid] = message.place
                self._given = message.place

    def _said_goodbye(self) -> bool:
        """Say that the run is over; tell whether the broker has heard it."""
        goodbye = self._client.publish(self._topic("available"), "offline", qos=1, retain=True)
        try:
            goodbye.wait_for_publish(max(GOODBYE_SECONDS, self._until - time.monotonic()))
            return goodbye.is_published()
        except (RuntimeError, ValueError):  # the connection was lost just now
            return False

    def _topic(self, name: str) -> str:
        return f"{self._broker.prefix}/{name}"

    def _connect(self) -> paho.Client:
        broker = self._broker
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"galaxy-edge-{self._run.uid}")
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls:
            try:
                client.tls_set(None if broker.authority is None else str(broker.authority))
            except OSError as problem:  # an SSLError is one too
                raise UsageError(f"--mqtt-ca {broker.authority} cannot be used: {problem.strerror}") from None
        client.will_set(self._topic("available"), "offline", qos=1, retain=True)
        client.reconnect_delay_set(*RECONNECT_SECONDS)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda *_: self._unreachable("it does not answer")
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.connect_async(broker.host, broker.port, keepalive=30)
        client.loop_start()
        return client

    def _on_connect(self, client: paho.Client, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._unreachable(str(reason).lower())
            return
        client.publish(self._topic("available"), "online", qos=1, retain=True)
        if self._broker.discovery:
            for topic, content in discovery_messages(self._broker.discovery, self._broker.prefix):
                client.publish(topic, json.dumps(content), qos=1, retain=True)
        if self._told:
            self._alert(f"the broker {self._broker.name} is reached again")
        self._told = False
        self._connected = True
        self._wake.set()

    def _on_disconnect(self, client: paho.Client, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._connected = False
        if self._ending:
            client.loop_stop()  # from its own thread, that is only a word to end
            self._gone.set()
        else:
            self._unreachable("the connection is lost")

    def _on_publish(self, client: paho.Client, _: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._lock:
            self._acknowledged.add(mid)
        self._wake.set()

    def _unreachable(self, why: str) -> None:
        if not self._told:
            self._told = True
            self._alert(f"the broker {self._broker.name} cannot be reached ({why}); events wait on the disk")


def _content(kind: str, event: Event) -> str:
    return json.dumps({"type": kind, **event.record()}, ensure_ascii=False)
