"""What Home Assistant is told, so that a run shows up there by itself."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

from ... import __version__

SENSORS: dict[str, dict[str, Any]] = {
    "state": {"name": "State"},
    "frames_per_second": {
        "name": "Frame rate", "unit_of_measurement": "fps", "state_class": "measurement", "icon": "mdi:speedometer",
    },
    "events": {"name": "Galaxies", "state_class": "total_increasing", "icon": "mdi:creation"},
    "temperature": {
        "name": "Processor temperature", "device_class": "temperature", "unit_of_measurement": "°C",
        "state_class": "measurement",
    },
    "evidence_bytes": {
        "name": "Evidence", "device_class": "data_size", "unit_of_measurement": "B", "state_class": "measurement",
    },
}  # fmt: skip
"""By their key in the figures."""


def discovery_messages(under: str, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the discovery messages of a device: topic and content.

    Args:
        under: prefix of discovery topics, ``homeassistant`` by default there.
        prefix: of the run's own topics.
    """
    node = re.sub(r"[^a-zA-Z0-9_-]", "_", prefix)
    about = {
        "availability_topic": f"{prefix}/available",
        "device": {
            "identifiers": [node], "name": f"galaxy-edge {socket.gethostname()}", "manufacturer": "galaxy-edge",
            "sw_version": __version__,
        },
        "origin": {"name": "galaxy-edge", "sw_version": __version__},
    }  # fmt: skip

    def entity(kind: str, key: str, **more: Any) -> tuple[str, dict[str, Any]]:
        return f"{under}/{kind}/{node}/{key}/config", {"unique_id": f"{node}_{key}", **more, **about}

    stats = f"{prefix}/stats"
    for key, more in SENSORS.items():
        yield entity("sensor", key, state_topic=stats, value_template=f"{{{{ value_json.{key} }}}}", **more)
    yield entity(
        "binary_sensor", "evidence_stopped", name="No evidence", device_class="problem", state_topic=stats,
        value_template="{{ 'ON' if value_json.evidence_stopped else 'OFF' }}",
    )  # fmt: skip
    yield entity(
        "sensor", "last_event", name="Last galaxy", state_topic=f"{prefix}/events", icon="mdi:telescope",
        value_template="{{ value_json['class'] }}", json_attributes_topic=f"{prefix}/events",
    )  # fmt: skip
