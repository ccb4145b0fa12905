"""A broker, a subscriber to it, and sinks that publish there."""

import signal

import pytest
from galaxy_edge.runtime.events.event import RunInfo
from galaxy_edge.runtime.monitoring.health import RunMonitor

from helpers.mosquitto import Mosquitto, Subscriber
from helpers.tracks import CLASSES


@pytest.fixture
def broker(tmp_path):
    """A running broker; it is resumed and killed at the end."""
    folder = tmp_path / "broker"
    folder.mkdir()
    mosquitto = Mosquitto(folder)
    mosquitto.start()
    yield mosquitto
    if mosquitto.process.poll() is None:
        mosquitto.process.send_signal(signal.SIGCONT)
        mosquitto.kill()


@pytest.fixture
def subscriber(broker):
    """A subscriber to every topic."""
    subscriber = Subscriber(broker)
    yield subscriber
    subscriber.close()


@pytest.fixture
def make_sink(monkeypatch, tmp_path):
    """A function that makes sinks which reconnect quickly.

    They are closed at the end.
    """
    from galaxy_edge.runtime.mqtt import publisher  # of the mqtt extra, without which these tests are skipped
    from galaxy_edge.runtime.mqtt.address import parse_broker
    from galaxy_edge.runtime.system import backoff

    monkeypatch.setattr(publisher, "RECONNECT_SECONDS", (1, 1))
    monkeypatch.setattr(backoff, "STABLE_SECONDS", 0.0)  # every connection is a good one
    run = RunInfo(1, "0123abcd", CLASSES)
    sinks = []

    def make(broker, monitor=None, **settings):
        url = broker if isinstance(broker, str) else broker.url
        settings = {"prefix": "sky", "discovery": "homeassistant", "interval": 0.2, **settings}
        sinks.append(publisher.MqttSink(parse_broker(url, **settings), run, tmp_path, monitor or RunMonitor()))
        return sinks[-1]

    yield make
    for sink in sinks:
        if sink.is_alive:
            sink.close(0, 0)
