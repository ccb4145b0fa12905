"""A broker, who listens to it, and who publishes."""

import signal

import pytest
from galaxy_edge.runtime.events.event import RunInfo
from galaxy_edge.runtime.monitoring.health import RunMonitor
from helpers.mosquitto import Listener, Mosquitto
from helpers.tracks import CLASSES


@pytest.fixture
def broker(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    one = Mosquitto(folder)
    one.start()
    yield one
    if one.process.poll() is None:
        one.process.send_signal(signal.SIGCONT)
        one.kill()


@pytest.fixture
def listener(broker):
    one = Listener(broker)
    yield one
    one.close()


@pytest.fixture
def publisher(monkeypatch, tmp_path):
    """Makes publishers that are quick to try again, and closes them."""
    from galaxy_edge.runtime.mqtt import publisher as mqtt  # of the mqtt extra, without which these tests are skipped

    monkeypatch.setattr(mqtt, "RECONNECT_SECONDS", (1, 1))
    run = RunInfo(1, "0123abcd", CLASSES)
    made = []

    def make(broker, **how):
        url = broker if isinstance(broker, str) else broker.url
        told = []
        settings = {"prefix": "sky", "discovery": "homeassistant", "every": 0.2, **how}
        one = mqtt.MqttSink(mqtt.parse_broker(url, **settings), run, tmp_path, RunMonitor(), told.append)
        one.told = told
        made.append(one)
        return one

    yield make
    for one in made:
        if one._thread.is_alive():
            one.close(0, 0)
