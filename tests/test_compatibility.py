"""Files written by version 0.1.0, before modules were renamed, can still be read.

``tests/data/version-0.1.0`` holds what that version wrote: the event file of a run on the demo (as SQL), two lines of
its frame log, the settings file of ``config init``, the manifests of the shipped bundles, and a training's record.
"""

import hashlib
import json
import re
import sqlite3
from contextlib import closing

import jsonschema
import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.export.run_reader import read_run
from galaxy_edge.training.run import load_resumable_record, read_record
from helpers.command_line import galaxy_edge as command_line
from helpers.paths import ROOT
from helpers.schema import FRAME_SCHEMA

OLD = ROOT / "tests" / "data" / "version-0.1.0"


def invoke(*arguments):
    """Run a command that must succeed; return its output."""
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.stdout


@pytest.fixture
def folder(tmp_path):
    """Return an output folder with the old event file and stand-ins for its crops."""
    out = tmp_path / "out"
    (out / "crops" / "0001").mkdir(parents=True)
    with closing(sqlite3.connect(out / "events.sqlite")) as database:
        database.executescript((OLD / "events.sql").read_text())
        for (crop,) in database.execute("SELECT crop FROM event"):
            (out / crop).touch()
    return out


def test_events_of_an_old_run_are_listed_and_shown(folder):
    """They keep the ids, classes and boxes that scripts have stored."""
    events = json.loads(invoke("events", "list", "--in", folder, "--format", "json"))
    assert [event["number"] for event in events] == [4, 8, 9, 10, 11, 13, 17, 18, 19, 23]
    first = json.loads(invoke("events", "show", "251e12f0-00004", "--in", folder, "--json"))
    assert first["class"] == "spiral_medium" and first["probability"] == 0.6226 and first["sure"] is False
    assert first["box"] == [33.76, 440.33, 127.26, 480.0] and first["crop"] == "crops/0001/00004.png"
    assert first["probabilities"]["spiral_tight"] == 0.3041 and first["version"] == "0.1.0"


def test_old_event_file_is_continued_by_a_new_run(folder):
    """A new run has the next number, and the SQL view shows the events of both.

    Other programs query this view.
    """
    done = command_line("run", "--camera", "demo", "--max-frames", 40, "--out", folder)
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(folder / "events.sqlite")) as database:
        rows = database.execute("SELECT id, run, class, crop, device FROM told ORDER BY run, number").fetchall()
        assert database.execute("SELECT id FROM run ORDER BY id").fetchall() == [(1,), (2,)]
    assert rows[0] == ("251e12f0-00004", 1, "spiral_medium", "crops/0001/00004.png", "x86_64")
    assert [row[1] for row in rows].count(1) == 10 and [row[1] for row in rows].count(2) > 0
    assert not list(folder.glob("events-unreadable-*"))


def test_event_file_without_positions_is_migrated(tmp_path):
    """Schema 3 had no positions on the sky: its events are read, and have none."""
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as database:
        database.executescript((ROOT / "tests" / "data" / "schema-3" / "events.sql").read_text())
    events = json.loads(invoke("events", "list", "--in", tmp_path, "--format", "json"))
    assert [event["number"] for event in events] == [1, 2] and "sky" not in events[0]
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as database:
        assert database.execute("SELECT number, ra, object_name FROM told").fetchall() == [
            (1, None, None),
            (2, None, None),
        ]
        assert database.execute("PRAGMA user_version").fetchone() == (6,)


def test_old_frame_log_conforms_to_the_schema():
    """The schema is published with the package.

    Programs validate both old and new logs with it.
    """
    for line in (OLD / "frames.jsonl").read_text().splitlines():
        jsonschema.validate(json.loads(line), FRAME_SCHEMA)


def test_old_settings_file_is_valid_with_every_setting_enabled(tmp_path):
    """Every key of that version still exists and still takes the example value."""
    text = (OLD / "galaxy-edge.toml").read_text()
    path = tmp_path / "galaxy-edge.toml"
    path.write_text(text)
    assert "0 settings" in invoke("config", "check", path)
    enabled, count = re.subn(r"^#(?=[a-z-]+ = )", "", text, flags=re.M)
    path.write_text(enabled)
    assert count == 26 and f"{count} settings" in invoke("config", "check", path)


@pytest.mark.parametrize("task", ["detector", "classifier"])
def test_old_bundle_manifest_is_read(tmp_path, task):
    """Its model files are replaced by placeholders, which have other hashes."""
    text = (OLD / f"{task}-bundle.toml").read_text()
    manifest, files = text.split("\n[files]\n")
    path = tmp_path / f"galaxy-{task}"
    path.mkdir()
    for name in re.findall(r'^"(.+?)" = "[0-9a-f]{64}"$', files, re.M):
        (path / name).write_bytes(name.encode())
        files = re.sub(rf'("{name}" = )"[0-9a-f]+"', rf'\1"{hashlib.sha256(name.encode()).hexdigest()}"', files)
    (path / "bundle.toml").write_text(f"{manifest}\n[files]\n{files}")
    report = invoke("bundle", "info", path)
    assert f"galaxy-{task}, version 0.1.0" in report and "all passed" in report
    assert ("galaxy" if task == "detector" else "spiral_loose") in report


def test_old_run_folder_is_read_by_export_and_can_be_resumed(tmp_path):
    """The record of a finished training.

    Export reads it, and a training with its settings accepts it.
    """
    for name in ("calibration.npz", "evaluation.npz"):
        (tmp_path / name).touch()
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "run.json").write_bytes((OLD / "run.json").read_bytes())
    record = read_run(tmp_path, ("classify",))
    assert record.model["input"] == {"width": 48, "height": 48} and record.model["classes"][-1] == "spiral_loose"
    assert record.model["decode"] == {"temperature": 1.8531668489115505}
    assert record == read_record(tmp_path)
    resumed = load_resumable_record(tmp_path, "classify", record.settings, record.data, resume=True)
    assert resumed == record
