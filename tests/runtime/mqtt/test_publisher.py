"""What is published through a real broker, and when."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("paho.mqtt.client", reason="needs the mqtt extra")
from galaxy_edge.runtime.events.queries import Query, query_events
from galaxy_edge.runtime.monitoring.health import RunMonitor
from galaxy_edge.runtime.pipeline.sink import SinkGroup
from galaxy_edge.runtime.tracking.tracker import Tracker
from helpers.candidates import candidate
from helpers.command_line import galaxy_edge as command_line
from helpers.mosquitto import Subscriber
from helpers.tracks import frame, named, output, record, track, until


def test_event_is_new_changes_and_ends_under_one_id(broker, subscriber, make_sink, caplog):
    """Tentative tracks are not published.

    An object that turns out not to be one ends.
    """
    sink = make_sink(broker)
    until(lambda: subscriber.contents("sky/available") == ["online"])
    sink.events([track(7, 0)])
    until(lambda: len(subscriber.events()) == 1)
    sink.events([track(7, 0, 3)])
    until(lambda: len(subscriber.events()) == 2)
    sink.events([track(7, 0, 5, ended=True), track(8, 5, ended=True)])
    until(lambda: len(subscriber.events()) == 5)
    tentative = track(9)
    tentative.state, tentative.confirmed = "tentative", False
    sink.events([tentative])
    hot = track(10)
    sink.events([hot])
    hot.kind = "hot pixel"
    sink.events([hot])
    hot.state = "ended"
    sink.events([hot])
    until(lambda: len(subscriber.events()) >= 7)
    published = [(event["type"], event["id"], event["frames"]) for event in subscriber.events()]
    first = [entry for entry in published if entry[1] == "0123abcd-00007"]
    assert first == [("new", "0123abcd-00007", 1), ("update", "0123abcd-00007", 4), ("end", "0123abcd-00007", 6)]
    assert [entry[0] for entry in published if entry[1] == "0123abcd-00008"] == ["new", "end"]  # seen in one frame
    assert [entry[0] for entry in published if entry[1] == "0123abcd-00010"] == ["new", "end"]  # a hot pixel
    assert subscriber.events()[0]["class"] == subscriber.events()[0]["name"] == "spiral"
    assert subscriber.events()[0]["box"] == [10, 20, 34, 44]
    sink.close(0, 0)
    until(lambda: subscriber.contents("sky/available") == ["online", "offline"])
    assert caplog.messages == [] and not any("00009" in event["id"] for event in subscriber.events())


def test_candidate_is_new_and_changes(broker, subscriber, make_sink):
    """On a topic of its own: it is no event."""
    sink = make_sink(broker)
    sink.inbox.add_candidate(candidate("A"), b"", True)
    until(lambda: len(subscriber.contents("sky/candidates")) == 1)
    sink.inbox.add_candidate(candidate("A", sightings=4), b"", False)
    until(lambda: len(subscriber.contents("sky/candidates")) == 2)
    first, second = map(json.loads, subscriber.contents("sky/candidates"))
    assert first == {"type": "new", **candidate("A").to_dict()}
    assert (second["type"], second["sightings"]) == ("update", 4) and subscriber.events() == []


def test_object_that_stays_in_view_is_updated_regularly(broker, subscriber, make_sink, tmp_path):
    """The event of a galaxy that hardly changes is still published and stored.

    The galaxy stays in view for two minutes.
    """
    sink, folder, tracker = make_sink(broker), output(tmp_path / "out"), Tracker(continuous=True)
    sinks = SinkGroup([folder, sink])
    for part in range(6):
        for number in range(20 * part, 20 * part + 20):
            sinks.events(tracker.update(frame(number), named()))
        until(lambda part=part: len(subscriber.events()) >= part + 1)
        until(
            lambda minimum=number - 10: [
                event for event in query_events(tmp_path / "out", Query()) if event.last_frame >= minimum
            ]
        )
    assert [event["type"] for event in subscriber.events()][:6] == ["new", *["update"] * 5]
    assert query_events(tmp_path / "out", Query())[0].state == "confirmed"
    sink.close(0, 0)
    folder.close(120, 0)


def test_figures_are_published_regularly_and_home_assistant_discovers_the_run(broker, subscriber, make_sink):
    """Every entity refers to a topic and a key that exist.

    Discovery is retained for those who connect later.
    """
    monitor = RunMonitor()
    make_sink(broker, monitor)
    monitor.frame(frame(), named(), record())
    until(lambda: any(json.loads(content)["frames"] == 1 for content in subscriber.contents("sky/stats")))
    figures = json.loads(subscriber.contents("sky/stats")[-1])
    entities = {
        topic: json.loads(content) for topic, content, _ in subscriber.received if topic.startswith("homeassistant/")
    }
    assert len(entities) >= 6 and len({entity["unique_id"] for entity in entities.values()}) == len(entities)
    for topic, entity in entities.items():
        assert topic.endswith("/config") and entity["availability_topic"] == "sky/available"
        key = topic.split("/")[3]
        if entity["state_topic"] == "sky/stats":
            assert key in figures and f"value_json.{key}" in entity["value_template"]
    late = Subscriber(broker, client_id="connects-later")
    until(lambda: {topic for topic, _, retained in late.received if retained} >= {*entities, "sky/available"})
    late.close()


def test_last_will_is_published_for_a_run_that_was_killed(broker, subscriber, tmp_path):
    """A killed process cannot publish that it is offline; the broker does it."""
    code = (
        "import sys, time; from pathlib import Path; from galaxy_edge.runtime.events.event import RunInfo\n"
        "from galaxy_edge.runtime.mqtt.address import parse_broker; from galaxy_edge.runtime.mqtt.publisher import MqttSink\n"
        "from galaxy_edge.runtime.monitoring.health import RunMonitor\n"
        "broker = parse_broker(sys.argv[1], 'sky', '', 1.0)\n"
        "MqttSink(broker, RunInfo(1, '0' * 8, ('a',)), Path(sys.argv[2]), RunMonitor()); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, broker.url, str(tmp_path)])
    until(lambda: subscriber.contents("sky/available") == ["online"])
    process.kill()
    process.wait()
    until(lambda: subscriber.contents("sky/available") == ["online", "offline"])


def test_run_publishes_every_event_that_it_stores(broker, subscriber, tmp_path):
    """The whole command on the demo: the ids published are those in the event file."""
    out = tmp_path / "out"
    arguments = ["run", "--camera", "demo", "--max-frames", "40", "--out", out]
    done = command_line(*arguments, "--mqtt", broker.url, "--mqtt-prefix", "sky", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    stored = {event.id for event in query_events(out, Query())}
    until(lambda: {event["id"] for event in subscriber.events() if event["type"] == "end"} == stored)
    assert stored and subscriber.contents("sky/available") == ["online", "offline"]
