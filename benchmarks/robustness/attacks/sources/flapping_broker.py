"""A broker that accepts every client and drops it immediately."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from pathlib import Path

from .....runtime.events.event import RunInfo
from .....runtime.monitoring.health import RunMonitor
from .....runtime.mqtt.address import parse_broker
from .....runtime.mqtt.publisher import MqttSink
from ...attack import Attack, Outcome

CONNACK = b"\x20\x02\x00\x00"


def run(count: int, folder: Path) -> Outcome:
    """Publish to such a broker for `count` seconds."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("galaxy_edge.runtime.mqtt.publisher")
    logger.addHandler(handler)
    received: list[int] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
                with client:
                    client.recv(4096)
                    client.sendall(CONNACK)
                    time.sleep(0.2)
                    received.append(len(client.recv(2**20)))
            except OSError:
                return  # closed

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        url = f"mqtt://127.0.0.1:{listener.getsockname()[1]}"
        sink = MqttSink(parse_broker(url, "sky", "homeassistant", 1.0), RunInfo(1, "0", ()), folder, RunMonitor())
        time.sleep(count)
        sink.close(0, 0)
        listener.shutdown(socket.SHUT_RDWR)
    logger.removeHandler(handler)
    figures: dict[str, int | float | str] = {
        "connections": len(received),
        "messages": len(messages),
        "kilobytes": max(received) >> 10,
    }
    most = math.log2(count + 1) + 2
    held = len(received) <= most and len(messages) <= 2 * math.log2(most) + 3 and max(received) < 2 * received[0]
    return Outcome(figures | {"growth": round(max(received) / received[0], 2)}, held)


ATTACK = Attack(
    promise="A broker that drops every client is contacted at growing intervals, and memory use does not grow.",
    method="{count} s of a broker that accepts and drops",
    run=run,
    count=75,
    small_count=4,
)
