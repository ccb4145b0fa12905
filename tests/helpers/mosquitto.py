"""A real MQTT broker, and a listener to it."""

import json
import os
import shutil
import socket
import subprocess
import threading

import pytest

from helpers.tracks import until


class Mosquitto:
    """A broker on a port of its own, which remembers over restarts."""

    def __init__(self, folder, more="allow_anonymous true\n"):
        self.program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if self.program is None:
            pytest.skip("needs mosquitto (apt install mosquitto)")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.settings = folder / "mosquitto.conf"
        self.memory = folder / "mosquitto.db"
        self.memory.touch()
        self.settings.write_text(
            f"listener {self.port} 127.0.0.1\npersistence true\npersistence_location {folder}/\n"
            "autosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\n"
            + more
            + ("user root\n" if os.getuid() == 0 else "")
        )
        self.process = None

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "-c", self.settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def there():
            with socket.socket() as wire:
                return wire.connect_ex(("127.0.0.1", self.port)) == 0

        until(there)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Listener:
    """A subscriber that is remembered by the broker, so that it gets what came while it was away."""

    def __init__(self, broker, prefix="#"):
        import paho.mqtt.client as paho  # of the mqtt extra, without which these tests are skipped

        self.got = []
        self.subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self.client.on_connect = lambda client, *_: client.subscribe(prefix, qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _, __, message: self.got.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert self.subscribed.wait(20)
        # The broker remembers client and subscription from now on, whenever it is killed.
        until(lambda: broker.memory.read_bytes().count(b"listener") >= 2)

    def of(self, topic):
        return [content for name, content, _ in list(self.got) if name == topic]

    def events(self):
        return [json.loads(content) for content in self.of("sky/events")]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
