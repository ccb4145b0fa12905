"""MQTT through a real broker: told, lost, found again, without a loss and without waiting."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

pytest.importorskip("paho.mqtt.client", reason="needs the mqtt extra")
import paho.mqtt.client as paho
from conftest import galaxy_edge as command_line
from galaxy_edge.benchmarks.sources import NetworkCamera
from galaxy_edge.runtime.errors import UsageError
from galaxy_edge.runtime.event import RunInfo
from galaxy_edge.runtime.events import Query, find
from galaxy_edge.runtime.publish import mqtt
from galaxy_edge.runtime.publish.mqtt import Publisher, broker_at
from galaxy_edge.runtime.publish.outbox import Outbox
from galaxy_edge.runtime.pulse import Pulse
from galaxy_edge.runtime.sink import Sinks
from galaxy_edge.runtime.track import Tracker
from small_tracks import CLASSES, frame, named, output, record, track

RUN = RunInfo(1, "0123abcd", CLASSES)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


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
            "autosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\n" + more
            + ("user root\n" if os.getuid() == 0 else ""))
        self.process = None

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen([self.program, "-c", self.settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def there():
            with socket.socket() as wire:
                return wire.connect_ex(("127.0.0.1", self.port)) == 0

        until(there)

    def kill(self):
        self.process.kill()
        self.process.wait()


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


class Listener:
    """A subscriber that is remembered by the broker, so that it gets what came while it was away."""

    def __init__(self, broker, prefix="#"):
        self.got = []
        self.subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self.client.on_connect = lambda client, *_: client.subscribe(prefix, qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _, __, message: self.got.append((message.topic, message.payload.decode(), message.retain))
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


@pytest.fixture
def listener(broker):
    one = Listener(broker)
    yield one
    one.close()


@pytest.fixture
def publisher(monkeypatch, tmp_path):
    """Makes publishers that are quick to try again, and closes them."""
    monkeypatch.setattr(mqtt, "BACK_OFF", (1, 1))
    made = []

    def make(broker, **how):
        url = broker if isinstance(broker, str) else broker.url
        told = []
        settings = {"prefix": "sky", "discovery": "homeassistant", "every": 0.2, **how}
        one = Publisher(broker_at(url, **settings), RUN, tmp_path, Pulse(), told.append)
        one.told = told
        made.append(one)
        return one

    yield make
    for one in made:
        if one._thread.is_alive():
            one.close(0, 0)


def test_an_event_is_new_changes_and_ends_under_one_id(broker, listener, publisher):
    one = publisher(broker)
    until(lambda: listener.of("sky/available") == ["online"])
    one.events([track(7, 0)])
    until(lambda: len(listener.events()) == 1)
    one.events([track(7, 0, 3)])
    until(lambda: len(listener.events()) == 2)
    one.events([track(7, 0, 5, ended=True), track(8, 5, ended=True)])
    until(lambda: len(listener.events()) == 5)
    unsure = track(9)
    unsure.state, unsure.confirmed = "tentative", False
    one.events([unsure])
    hot = track(10)
    one.events([hot])
    hot.kind = "hot pixel"
    one.events([hot])
    hot.state = "ended"
    one.events([hot])
    until(lambda: len(listener.events()) >= 7)
    told = [(event["type"], event["id"], event["frames"]) for event in listener.events()]
    first = [entry for entry in told if entry[1] == "0123abcd-00007"]
    assert first == [("new", "0123abcd-00007", 1), ("update", "0123abcd-00007", 4), ("end", "0123abcd-00007", 6)]
    assert [entry[0] for entry in told if entry[1] == "0123abcd-00008"] == ["new", "end"]  # seen in one picture only
    assert [entry[0] for entry in told if entry[1] == "0123abcd-00010"] == ["new", "end"]  # it turned out to be none
    assert listener.events()[0]["class"] == "spiral" and listener.events()[0]["box"] == [10, 20, 34, 44]
    one.close(0, 0)
    until(lambda: listener.of("sky/available") == ["online", "offline"])
    assert one.told == [] and not any("00009" in event["id"] for event in listener.events())


def test_an_object_that_stays_in_sight_goes_on_being_told_and_written(broker, listener, publisher, tmp_path):
    """Two minutes of a galaxy that keeps its place and changes little: whoever looks in meanwhile sees how far it is."""
    one, out, tracker = publisher(broker), output(tmp_path / "out"), Tracker(continuous=True)
    sinks = Sinks([out, one])
    for part in range(6):
        for number in range(20 * part, 20 * part + 20):
            sinks.events(tracker.update(frame(number), named()))
        until(lambda part=part: len(listener.events()) >= part + 1)
        until(lambda least=number - 10: [one for one in find(tmp_path / "out", Query()) if one["last_frame"] >= least])
    assert [event["type"] for event in listener.events()][:6] == ["new", *["update"] * 5]
    assert find(tmp_path / "out", Query())[0]["state"] == "confirmed"
    one.close(0, 0)
    out.close(120, 0)


def test_figures_come_by_themselves_and_home_assistant_is_told(broker, listener, publisher):
    one = publisher(broker)
    one._pulse.frame(frame(), named(), record())
    until(lambda: any(json.loads(content)["frames"] == 1 for content in listener.of("sky/stats")))
    figures = json.loads(listener.of("sky/stats")[-1])
    entities = {topic: json.loads(content) for topic, content, _ in listener.got if topic.startswith("homeassistant/")}
    assert len(entities) >= 6 and len({entity["unique_id"] for entity in entities.values()}) == len(entities)
    for topic, entity in entities.items():
        assert topic.endswith("/config") and entity["availability_topic"] == "sky/available"
        key = topic.split("/")[3]
        if entity["state_topic"] == "sky/stats":
            assert key in figures and f"value_json.{key}" in entity["value_template"]
    late = Listener.__new__(Listener)
    late.got, late.client = [], paho.Client(paho.CallbackAPIVersion.VERSION2)
    late.client.on_message = lambda _, __, message: late.got.append((message.topic, message.retain))
    late.client.connect("127.0.0.1", broker.port)
    late.client.subscribe("#", 1)
    late.client.loop_start()
    until(lambda: {topic for topic, retained in late.got if retained} >= {*entities, "sky/available"})  # for who comes later
    late.close()


def test_the_last_will_speaks_for_a_run_that_was_killed(broker, listener, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from galaxy_edge.runtime.event import RunInfo\n"
        "from galaxy_edge.runtime.publish.mqtt import Publisher, broker_at; from galaxy_edge.runtime.pulse import Pulse\n"
        "broker = broker_at(sys.argv[1], 'sky', '', 1.0)\n"
        "Publisher(broker, RunInfo(1, '0' * 8, ('a',)), Path(sys.argv[2]), Pulse(), print); time.sleep(600)")
    process = subprocess.Popen([sys.executable, "-c", code, broker.url, str(tmp_path)])
    until(lambda: listener.of("sky/available") == ["online"])
    process.kill()
    process.wait()
    until(lambda: listener.of("sky/available") == ["online", "offline"])


def test_a_broker_that_is_killed_and_comes_back_misses_nothing(broker, listener, publisher):
    one = publisher(broker)
    until(lambda: listener.of("sky/available") == ["online"])
    numbers = iter(range(1, 10_000))

    def load(count):
        for number in (next(numbers) for _ in range(count)):
            one.events([track(number)])
            one.events([track(number, number, number + 3, ended=True)])

    for _ in range(3):
        load(100)
        broker.kill()  # with messages under way
        load(200)
        until(lambda: any("cannot be reached" in line for line in one.told))
        broker.start()
        load(100)
        until(lambda: len(one._outbox) == 0, 90)
    expected = {(kind, f"0123abcd-{number:05d}") for number in range(1, 1201) for kind in ("new", "end")}
    until(lambda: {(event["type"], event["id"]) for event in listener.events()} >= expected, 90)
    # At least once: what was under way when the broker died may come twice, the rest does not.
    doubled = sum(count - 1 for count in Counter((event["type"], event["id"]) for event in listener.events()).values())
    assert doubled <= 3 * mqtt.WINDOW
    one.close(0, 0)
    assert sum("cannot be reached" in line for line in one.told) == sum("reached again" in line for line in one.told) <= 3
    assert one.lost == one._outbox.lost == 0


def test_a_broker_that_hangs_holds_nobody_up(broker, listener, publisher):
    """It is there and says nothing: every call returns, whatever waits."""
    one = publisher(broker)
    until(lambda: listener.of("sky/available") == ["online"])
    broker.process.send_signal(signal.SIGSTOP)
    for number in range(1, 1001):
        one.events([track(number, ended=True)])
    until(lambda: len(one._outbox) == 2000)
    broker.process.send_signal(signal.SIGCONT)
    until(lambda: len(one._outbox) == 0, 90)
    until(lambda: len(listener.events()) >= 2000, 90)


def test_a_broker_that_hangs_learns_afterwards_that_the_run_has_ended(broker, listener, publisher):
    """It hears no goodbye, so it must get no farewell either: that would take the last will back."""
    one = publisher(broker)
    until(lambda: listener.of("sky/available") == ["online"])
    broker.process.send_signal(signal.SIGSTOP)
    for number in range(1, 200):
        one.events([track(number, ended=True)])
    began = time.monotonic()
    one.close(0, 0)
    assert time.monotonic() - began < 5, "0.9 s, with much room for a slow machine"
    assert "messages wait for the broker" in one.told[-1]
    broker.process.send_signal(signal.SIGCONT)
    until(lambda: listener.of("sky/available") == ["online", "offline"])


def test_a_run_ends_within_two_seconds_whatever_hangs(broker, tmp_path):
    """A camera that goes on, four viewers that take nothing, and a broker that is there and says nothing."""
    pytest.importorskip("fastapi", reason="needs the serve extra")
    camera = NetworkCamera(rate=10)
    took = []
    while len(took) < 3 and min(took, default=9.0) > 2.0:  # the best of three: other work on this machine takes time too
        command = [sys.executable, "-m", "galaxy_edge", "run", "--camera", camera.url, "--out", tmp_path / "out", "--json",
                   "--serve", "0", "--mqtt", broker.url, "--mqtt-every", "0.2"]
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        port = int(re.search(r"live view: http://127.0.0.1:(\d+)/", process.stderr.readline())[1])
        for _ in range(10):
            assert process.stdout.readline()
        reader = threading.Thread(target=process.stdout.read)
        reader.start()
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                wire = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
                wire.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert wire.recv(100).startswith(b"HTTP/1.1 200")
            broker.process.send_signal(signal.SIGSTOP)
            time.sleep(1)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            took.append(time.monotonic() - began)
        broker.process.send_signal(signal.SIGCONT)
        reader.join()
        errors = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
        assert "ended on request" in errors and "Traceback" not in errors and "live view" not in errors
    camera.pull_out()
    assert min(took) <= 2.0, took


def test_a_damaged_file_of_what_waits_is_set_aside_and_named(broker, listener, publisher, tmp_path):
    box = tmp_path / "mqtt.sqlite"
    Outbox(box).close()
    box.write_bytes(box.read_bytes()[:50] + b"no more of it" * 500)
    one = publisher(broker)
    one.events([track(1, ended=True)])
    until(lambda: len(listener.events()) == 2)
    aside = next(tmp_path.glob("mqtt-unreadable-*.sqlite"))
    assert one.told == [f"{box} was damaged; it is now {aside}, and a new one was begun"]


def test_a_file_of_what_waits_that_breaks_meanwhile_ends_the_publishing_and_not_the_run(broker, publisher):
    one = publisher(broker)
    one._outbox._base.execute("DROP TABLE message")
    until(lambda: any("publishing has ended" in line for line in one.told))
    one.events([track(1)])
    one.close(0, 0)
    assert "may be lost" in one.told[-1]


def test_sinks_are_closed_at_once():
    """Each of these waits for the other: in turn they would never end."""
    meeting = threading.Barrier(2, timeout=30)

    class Waiting:
        def close(self, frames, bad):
            meeting.wait()

    Sinks([Waiting(), Waiting()]).close(0, 0)


def test_what_waits_at_the_end_is_delivered_by_the_next_run(broker, listener, publisher):
    broker.kill()
    first = publisher(broker)
    first.events([track(1, ended=True)])
    until(lambda: first.told)
    first.close(0, 0)
    assert "2 messages wait" in first.told[-1]
    broker.start()
    publisher(broker)
    until(lambda: [event["type"] for event in listener.events()] == ["new", "end"])


@pytest.fixture
def guarded(tmp_path):
    """A broker that wants a password, behind TLS, with a certificate of its own authority."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    for program in ("openssl", "mosquitto_passwd"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    one = Mosquitto(
        folder, f"allow_anonymous false\npassword_file {folder}/passwords\ncafile {folder}/ca.pem\n"
        f"certfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n")
    subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "passwords", "scope", "p@ss word"], check=True)
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*new, "-subj", "/CN=authority", "-keyout", folder / "ca.key", "-out", folder / "ca.pem"], check=True,
                   capture_output=True)
    subprocess.run([*new, "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1", "-CA", folder / "ca.pem",
                    "-CAkey", folder / "ca.key", "-keyout", folder / "broker.key", "-out", folder / "broker.pem"],
                   check=True, capture_output=True)
    one.authority = folder / "ca.pem"
    one.start()
    yield one
    one.kill()


def test_a_broker_with_password_and_certificate(guarded, publisher):
    address = f"127.0.0.1:{guarded.port}"
    one = publisher(f"mqtts://scope:p%40ss%20word@{address}", authority=guarded.authority)
    one.events([track(1, ended=True)])
    until(lambda: one._given == 2 and len(one._outbox) == 0)
    assert one.told == []
    one.close(0, 0)
    wrong = publisher(f"mqtts://scope:wrong@{address}", authority=guarded.authority)
    until(lambda: wrong.told)
    assert "not authorized" in wrong.told[0] and "wrong" not in wrong.told[0]
    stranger = publisher(f"mqtts://scope:p%40ss%20word@{address}")  # an authority that the system does not know
    until(lambda: stranger.told)
    assert not stranger._connected
    with pytest.raises(UsageError, match="--mqtt-ca"):
        publisher(f"mqtts://{address}", authority=guarded.settings.with_name("none.pem"))


def test_run_publishes_what_it_stores(broker, listener, tmp_path):
    out = tmp_path / "out"
    done = command_line("run", "--camera", "demo", "--max-frames", "40", "--out", out, "--mqtt", broker.url, "--mqtt-prefix",
                        "sky", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    stored = {record["id"] for record in find(out, Query())}
    until(lambda: {event["id"] for event in listener.events() if event["type"] == "end"} == stored)
    assert stored and listener.of("sky/available") == ["online", "offline"]


def test_there_is_a_cap_and_the_oldest_go(tmp_path):
    box = Outbox(tmp_path / "box.sqlite", most=5)
    box.add([("t", str(number)) for number in range(8)])
    assert [message.content for message in box.first(10)] == ["3", "4", "5", "6", "7"] and box.lost == 3
    first, second, *_ = box.first(10)
    assert [message.content for message in box.first(2, after=first.place)] == ["4", "5"]
    box.done([second.place])
    box.close()
    again = Outbox(tmp_path / "box.sqlite")
    assert [message.content for message in again.first(10)] == ["3", "5", "6", "7"]
    again.close()


def test_where_the_disk_takes_nothing_messages_wait_in_memory(tmp_path):
    box = Outbox(tmp_path / "box.sqlite", most=3)
    other = sqlite3.connect(tmp_path / "box.sqlite", isolation_level=None)
    box._base.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN EXCLUSIVE")
    box.add([("t", str(number)) for number in range(5)])
    other.execute("ROLLBACK")
    assert box.lost == 2
    box.add([])
    assert [message.content for message in box.first(10)] == ["2", "3", "4"]
    other.close()
    box.close()


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "http://localhost", "mqtt://", "mqtt://host:port", "mqtt://host:99999", "mqtt://host/topic", "mqtt://[::1",
     "mqtt://a..b", "mqtt://host:0"],
)
def test_addresses_that_are_none(url):
    with pytest.raises(UsageError, match="broker"):
        broker_at(url, "sky", "", 1.0)


@pytest.mark.parametrize("prefix", ["", "a/#", "a+b", "/a", "a/", "x" * 201, "a\udcff"])
def test_prefixes_that_are_no_topics(prefix):
    with pytest.raises(UsageError, match="topic"):
        broker_at("mqtt://host", prefix, "", 1.0)


def test_a_password_is_never_told():
    with pytest.raises(UsageError) as problem:
        broker_at("ftp://me:secret@host", "sky", "", 1.0)
    assert "secret" not in str(problem.value)
    with pytest.raises(UsageError) as problem:  # '#' ends an address: what stands before it would be host and port
        broker_at("mqtt://me:1234#secret@host", "sky", "", 1.0)
    assert "1234" not in str(problem.value) and "secret" not in str(problem.value)
    broker = broker_at("mqtts://me:p%40ss@host", "sky", "", 1.0)
    assert (broker.user, broker.password, broker.port, broker.tls) == ("me", "p@ss", 8883, True)
    assert "p@ss" not in broker.name
