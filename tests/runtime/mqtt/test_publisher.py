"""MQTT through a real broker: what is told, to whom and when."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("paho.mqtt.client", reason="needs the mqtt extra")
import paho.mqtt.client as paho
from galaxy_edge.runtime.events.queries import Query, query_events
from galaxy_edge.runtime.pipeline.sink import SinkGroup
from galaxy_edge.runtime.tracking.tracker import Tracker
from helpers.command_line import galaxy_edge as command_line
from helpers.mosquitto import Listener
from helpers.tracks import frame, named, output, record, track, until


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
    sinks = SinkGroup([out, one])
    for part in range(6):
        for number in range(20 * part, 20 * part + 20):
            sinks.events(tracker.update(frame(number), named()))
        until(lambda part=part: len(listener.events()) >= part + 1)
        until(
            lambda least=number - 10: [
                one for one in query_events(tmp_path / "out", Query()) if one["last_frame"] >= least
            ]
        )
    assert [event["type"] for event in listener.events()][:6] == ["new", *["update"] * 5]
    assert query_events(tmp_path / "out", Query())[0]["state"] == "confirmed"
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
    until(
        lambda: {topic for topic, retained in late.got if retained} >= {*entities, "sky/available"}
    )  # for who comes later
    late.close()


def test_the_last_will_speaks_for_a_run_that_was_killed(broker, listener, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from galaxy_edge.runtime.events.event import RunInfo\n"
        "from galaxy_edge.runtime.mqtt.publisher import Publisher, broker_at; from galaxy_edge.runtime.monitoring.health import Pulse\n"
        "broker = broker_at(sys.argv[1], 'sky', '', 1.0)\n"
        "Publisher(broker, RunInfo(1, '0' * 8, ('a',)), Path(sys.argv[2]), Pulse(), print); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, broker.url, str(tmp_path)])
    until(lambda: listener.of("sky/available") == ["online"])
    process.kill()
    process.wait()
    until(lambda: listener.of("sky/available") == ["online", "offline"])


def test_run_publishes_what_it_stores(broker, listener, tmp_path):
    out = tmp_path / "out"
    done = command_line(
        "run",
        "--camera",
        "demo",
        "--max-frames",
        "40",
        "--out",
        out,
        "--mqtt",
        broker.url,
        "--mqtt-prefix",
        "sky",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    stored = {record["id"] for record in query_events(out, Query())}
    until(lambda: {event["id"] for event in listener.events() if event["type"] == "end"} == stored)
    assert stored and listener.of("sky/available") == ["online", "offline"]
