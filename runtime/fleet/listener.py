"""A subscriber that keeps a `Fleet` up to date."""

from __future__ import annotations

import logging
import uuid

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ...errors import UserError
from ..mqtt.address import Broker
from .stations import Fleet

logger = logging.getLogger(__name__)


class BrokerError(UserError):
    """A broker that cannot be reached at the start, or refuses the connection."""


class FleetListener:
    """A subscription to all stations of a broker, restored and logged when lost.

    Args:
        broker: where the stations publish; its prefix is that of all of them.
        fleet: receives the messages.

    Raises:
        BrokerError: the broker does not answer, or its certificate cannot be used.
    """

    def __init__(self, broker: Broker, fleet: Fleet) -> None:
        self._broker, self._fleet = broker, fleet
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"galaxy-edge-fleet-{uuid.uuid4().hex[:8]}"
        )
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        try:
            if broker.tls:
                client.tls_set(None if broker.authority is None else str(broker.authority))
            client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
            client.on_message = lambda _, __, message: fleet.receive(message.topic, bytes(message.payload))
            client.connect(broker.host, broker.port, keepalive=30)
        except OSError as error:
            raise BrokerError(
                f"the broker {broker.name} cannot be reached: {error.strerror or error}; check --mqtt"
            ) from None
        client.loop_start()

    def close(self) -> None:
        """End the subscription."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: paho.Client, _: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            logger.warning("the broker %s refuses the connection: %s", self._broker.name, str(reason).lower())
            return
        client.subscribe([(f"{self._broker.prefix}/#", 1)])

    def _on_disconnect(
        self, client: paho.Client, _: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            logger.warning("the connection to the broker %s was lost: trying again", self._broker.name)
