"""A real MQTT broker, and a subscriber to it."""

import json
import os
import shutil
import socket
import subprocess
import threading

import pytest

from helpers.tracks import until


class Mosquitto:
    """A broker on a port of its own that keeps its state across restarts."""

    def __init__(self, folder, more="allow_anonymous true\n"):
        self.program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if self.program is None:
            pytest.skip("needs mosquitto (apt install mosquitto)")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.settings = folder / "mosquitto.conf"
        self.state_file = folder / "mosquitto.db"
        self.state_file.touch()
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
        """Start the broker and wait until it accepts connections."""
        self.process = subprocess.Popen(
            [self.program, "-c", self.settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def accepts():
            with socket.socket() as connection:
                return connection.connect_ex(("127.0.0.1", self.port)) == 0

        until(accepts)

    def kill(self):
        """End the broker without warning."""
        self.process.kill()
        self.process.wait()


class Subscriber:
    """A subscriber with a persistent session.

    It receives what was published while it was disconnected, too.

    Attributes:
        received: (topic, content, whether it was retained) of each message.
    """

    def __init__(self, broker, topics="#", client_id="listener"):
        import paho.mqtt.client as paho  # of the mqtt extra, without which these tests are skipped

        self.received = []
        self.subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self.client.on_connect = lambda client, *_: client.subscribe(topics, qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _, __, message: self.received.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert self.subscribed.wait(20)
        # From now on the broker has saved client and subscription: it may be killed.
        until(lambda: broker.state_file.read_bytes().count(client_id.encode()) >= 2)

    def contents(self, topic):
        """Return the contents of the messages of a topic, in order."""
        return [content for name, content, _ in list(self.received) if name == topic]

    def events(self):
        """Return the decoded events, in order."""
        return [json.loads(content) for content in self.contents("sky/events")]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
