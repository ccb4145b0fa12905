"""`galaxy-edge report-frame`: nothing private is in the zip file."""

import io
import json
import sqlite3
import zipfile
from contextlib import closing

import pytest
from helpers.command_line import galaxy_edge, galaxy_edge_in_process
from helpers.images import encode, png_chunk, render

SECRETS = ("Q7kirchberg", "Zw3hunter", "Xy8topic", "Vv5bot", "Pp2folder", "Nn4note")
SETTINGS = """
[run]
camera = "rtsp://Zw3hunter:Zw3hunter@cam/stream"
out = "Pp2folder"
mqtt = "mqtt://Q7kirchberg:Zw3hunter@broker"
mqtt-prefix = "galaxy-edge/Q7kirchberg"
min-score = 0.2
notify = ["ntfys://ntfy.sh/Xy8topic", "tgram://Vv5bot/12345"]
"""
LOG = """galaxy-edge: rtsp://Zw3hunter:Zw3hunter@cam/stream is lost
galaxy-edge: notified ntfys://ntfy.sh/Xy8topic and Vv5bot
galaxy-edge: /home/Q7kirchberg/Pp2folder/Nn4note.png is skipped
"""


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Return a folder with output, frame, settings and log, all with secrets."""
    folder = tmp_path_factory.mktemp("Pp2folder")
    image = encode(render([(60, 40, 12)], 160, 120))
    image = image[:33] + png_chunk(b"tEXt", b"GPS\0Q7kirchberg") + image[33:]
    (folder / "Nn4note.png").write_bytes(image)
    done = galaxy_edge("run", "--camera", "Nn4note.png", "--out", "out", "--min-score", 0.2, "--no-report", cwd=folder)
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(folder / "out" / "events.sqlite")) as database, database:
        database.execute("UPDATE event SET sky_note = 'Nn4note', object_name = 'Q7kirchberg'")
        database.execute("UPDATE run SET device = 'Q7kirchberg'")
    (folder / "galaxy-edge.toml").write_text(SETTINGS)
    (folder / "galaxy-edge.toml").chmod(0o600)
    (folder / "log").write_text(LOG)
    return folder


def report(night, *arguments):
    done = galaxy_edge_in_process("report-frame", *arguments, "--log", "log", cwd=night)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("what", [("1", "--in", "out"), ("Nn4note.png",)])
def test_no_secret_is_in_the_file(night, tmp_path, what):
    shown = report(night, *what, "--out", tmp_path / "a.zip")
    content = (tmp_path / "a.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    everything = b"\n".join([content, *files.values(), *map(str.encode, files)]).lower()
    assert [secret for secret in SECRETS if secret.lower().encode() in everything] == []
    record = json.loads(files["report.json"])
    assert record["settings"]["min_score"] == 0.2 and record["record"]["detections"][0]["score"] > 0.2
    assert len(record["versions"]["bundles"]["galaxy-detector"]["hash"]) == 64
    assert "frame.png" in files and "is lost" in files["log.txt"].decode() and "frame.png" in shown


def test_settings_of_the_environment_are_used(night, tmp_path):
    """They have the names of those of `run`, since they are its settings."""
    path = tmp_path / "a.zip"
    frame, env = night / "Nn4note.png", {"GALAXY_EDGE_RUN_MIN_SCORE": "0.9"}
    done = galaxy_edge_in_process("report-frame", frame, "--out", path, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("report.json"))["settings"]["min_score"] == 0.9


def test_what_was_left_out_is_printed_before_anything_is_written(night):
    answer = json.loads(report(night, "1", "--in", "out", "--dry-run", "--json"))
    assert answer["file"] is None and not (night / "frame-report.zip").exists()
    assert answer["removed"]["frame"] == ["text"] and "source" in answer["removed"]["event"]


def test_a_frame_beyond_the_limit_is_left_out(night):
    answer = json.loads(report(night, "1", "--in", "out", "--dry-run", "--json", "--max-size", "8K"))
    assert (
        "frame.png" not in answer["files"]
        and answer["bytes"] <= 8192
        and "--max-size" in answer["removed"]["frame.png"][0]
    )


def test_an_existing_file_is_not_replaced(night):
    done = galaxy_edge_in_process("report-frame", "1", "--in", "out", "--out", "log", cwd=night)
    assert done.returncode == 2 and "'log' exists" in done.stderr


def test_an_unknown_event_is_refused(night):
    done = galaxy_edge_in_process("report-frame", "99", "--in", "out", cwd=night)
    assert done.returncode == 2 and "there is no event '99'" in done.stderr


def test_a_file_that_does_not_exist_is_not_taken_for_an_event(night):
    done = galaxy_edge_in_process("report-frame", "m31.fits", "--in", "out", cwd=night)
    assert done.returncode == 2 and "'m31.fits' is not a file, nor the id or number of an event" in done.stderr
