"""A broker that is killed, hangs or comes back: nothing is lost, and nobody waits."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

pytest.importorskip("paho.mqtt.client", reason="needs the mqtt extra")
from galaxy_edge.benchmarks.performance.synthetic_sources import NetworkCamera
from galaxy_edge.runtime.mqtt import publisher as mqtt
from helpers.tracks import track, until


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
    assert doubled <= 3 * mqtt.MAX_IN_FLIGHT
    one.close(0, 0)
    assert (
        sum("cannot be reached" in line for line in one.told) == sum("reached again" in line for line in one.told) <= 3
    )
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


def test_a_run_ends_within_two_seconds_whatever_hangs(broker, tmp_path):
    """A camera that goes on, four viewers that take nothing, and a broker that is there and says nothing."""
    pytest.importorskip("fastapi", reason="needs the serve extra")
    camera = NetworkCamera(rate=10)
    took = []
    while (
        len(took) < 3 and min(took, default=9.0) > 2.0
    ):  # the best of three: other work on this machine takes time too
        command = [
            sys.executable,
            "-m",
            "galaxy_edge",
            "run",
            "--camera",
            camera.url,
            "--out",
            tmp_path / "out",
            "--json",
            "--serve",
            "0",
            "--mqtt",
            broker.url,
            "--mqtt-every",
            "0.2",
        ]
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
