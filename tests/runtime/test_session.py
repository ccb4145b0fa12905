"""A run from Python: checks before it begins, what it needs, what it leaves."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
from galaxy_edge.errors import MissingExtra, UsageError
from galaxy_edge.runtime.session import MqttConfig, RunConfig, Session, WebConfig
from helpers.pipeline import RecordingSink, Sky


def test_a_run_is_three_words_of_python(tmp_path):
    """The command line is only one user of a session.

    A script gets the same output folder.
    """
    seen = []
    session = Session(RunConfig(source="demo", out=tmp_path / "out", max_frames=3))
    stats = session.run(lambda frame, detections, record, stats: seen.append(record.frame))
    assert stats.frames == 3 and stats.failure is None and seen == [0, 1, 2] and session.length == 3
    lines = (tmp_path / "out" / "frames-0001.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == [0, 1, 2]


def test_a_run_without_an_output_folder_writes_nothing(tmp_path, monkeypatch):
    """Benchmarks measure the loop alone, with a source and sinks of their own."""
    monkeypatch.chdir(tmp_path)
    sink = RecordingSink()
    stats = Session(RunConfig(out=None), source=Sky(4), sinks=[sink]).run()
    assert len(sink.records) == sink.closed == stats.frames == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("values", "message"), [
    ({"threads": 0}, "threads must be from 1 to 64, not 0"),
    ({"min_score": 1.5}, "min_score must be from 0 to 1"),
    ({"min_score": float("nan")}, "min_score must be from 0 to 1"),
    ({"stack": 65}, "stack must be from 1 to 64"),
    ({"gate": 1e30}, "gate must be from 0 to 86400"),
    ({"max_frames": 0}, "max_frames must be at least 1"),
    ({"quota": -1}, "quota must be at least 0"),
    ({"stale_after": float("inf")}, "stale_after must be a positive number"),
    ({"tiles": "many"}, "tiles are auto, off or columns x rows"),
    ({"engine": "coral"}, "unknown engine 'coral'"),
    ({"out": None, "web": WebConfig("0")}, "need an output folder"),
])  # fmt: skip
def test_a_value_outside_its_range_is_refused_when_the_configuration_is_made(values, message):
    """An error in the middle of the night would cost the night."""
    with pytest.raises(UsageError, match=message):
        RunConfig(**values)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: WebConfig("localhost"), "'localhost'"),
    (lambda: MqttConfig("http://localhost"), "mqtt://HOST"),
    (lambda: MqttConfig("mqtt://localhost", prefix=""), "--mqtt-prefix is empty"),
    (lambda: MqttConfig("mqtt://localhost", prefix="a/#"), "a/#"),
    (lambda: MqttConfig("mqtt://localhost", interval=0), "interval must be at least 0.1"),
])  # fmt: skip
def test_addresses_and_topics_are_checked_too(make, message):
    """The services are opened last, after seconds of loading."""
    with pytest.raises(UsageError, match=message):
        make()


def test_a_configuration_is_frozen_and_shows_no_password():
    """A configuration may be logged, and must not change during a run."""
    config = RunConfig(source="rtsp://me:secret@camera/", mqtt=MqttConfig("mqtt://me:secret@broker"))
    assert "secret" not in repr(config)
    with pytest.raises(FrozenInstanceError):
        config.stack = 2


def test_a_missing_extra_is_named_before_anything_begins(tmp_path, monkeypatch):
    """The plain install has neither the live view's nor MQTT's packages."""
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"install .*'galaxy-edge\[serve\]'"):
        Session(RunConfig(out=tmp_path / "out", web=WebConfig("0")))
    assert not (tmp_path / "out").exists()


def test_services_are_imported_only_where_they_are_configured():
    """They cost memory and start-up time, and are not in the plain install."""
    script = (
        "import sys; from galaxy_edge.runtime.session import RunConfig, Session; RunConfig()\n"
        "print([name for name in ('fastapi', 'uvicorn', 'paho', 'click', 'rich', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
