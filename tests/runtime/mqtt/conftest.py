"""A broker, a subscriber to it, and sinks that publish there."""

from helpers.broker_fixtures import broker, make_sink, subscriber

__all__ = ["broker", "make_sink", "subscriber"]
