"""The broker and the sinks of the tests of MQTT."""

from helpers.broker_fixtures import broker, make_sink

__all__ = ["broker", "make_sink"]
