"""Discovery messages that make Home Assistant show a run without configuration."""

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
    "limiting_magnitude": {
        "name": "Limiting magnitude", "unit_of_measurement": "mag", "state_class": "measurement",
        "icon": "mdi:star-four-points-outline",
    },
    "star_fwhm": {
        "name": "Star width", "unit_of_measurement": "arcsec", "state_class": "measurement", "icon": "mdi:blur",
    },
    "sky_brightness": {
        "name": "Sky brightness", "unit_of_measurement": "mag/arcsec²", "state_class": "measurement",
        "icon": "mdi:weather-night",
    },
    "transparency": {
        "name": "Transparency", "state_class": "measurement", "icon": "mdi:weather-night-partly-cloudy",
    },
    "evidence_bytes": {
        "name": "Saved files", "device_class": "data_size", "unit_of_measurement": "B", "state_class": "measurement",
    },
}  # fmt: skip
"""Sensors by their key in the run's figures (`RunMonitor.stats`)."""


def discovery_messages(discovery_prefix: str, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the discovery messages of a run: topic and content.

    Args:
        discovery_prefix: prefix of discovery topics; Home Assistant's default is ``homeassistant``.
        prefix: prefix of the run's own topics.
    """
    node = re.sub(r"[^a-zA-Z0-9_-]", "_", prefix)
    common = {
        "availability_topic": f"{prefix}/available",
        "device": {
            "identifiers": [node], "name": f"galaxy-edge {socket.gethostname()}", "manufacturer": "galaxy-edge",
            "sw_version": __version__,
        },
        "origin": {"name": "galaxy-edge", "sw_version": __version__},
    }  # fmt: skip

    def entity(component: str, key: str, **settings: Any) -> tuple[str, dict[str, Any]]:
        topic = f"{discovery_prefix}/{component}/{node}/{key}/config"
        return topic, {"unique_id": f"{node}_{key}", **settings, **common}

    stats = f"{prefix}/stats"
    for key, settings in SENSORS.items():
        yield entity("sensor", key, state_topic=stats, value_template=f"{{{{ value_json.{key} }}}}", **settings)
    yield entity(
        "binary_sensor", "evidence_stopped", name="Crops not written", device_class="problem", state_topic=stats,
        value_template="{{ 'ON' if value_json.evidence_stopped else 'OFF' }}",
    )  # fmt: skip
    yield entity(
        "sensor", "last_event", name="Last galaxy", state_topic=f"{prefix}/events", icon="mdi:telescope",
        value_template="{{ value_json.name | default(value_json['class']) }}", json_attributes_topic=f"{prefix}/events",
    )  # fmt: skip
