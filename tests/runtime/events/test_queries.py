"""`galaxy-edge events`: its output for a user, a script and a spreadsheet."""

import contextlib
import csv
import fcntl
import io
import json
import os
import pty
import sqlite3
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.events.event_row import COLUMNS
from galaxy_edge.runtime.events.queries import NoSuchEvent, Query, get_event, prune_events, query_events
from galaxy_edge.runtime.recording.output_folder import OutputFolder
from helpers.command_line import galaxy_edge, galaxy_edge_in_process
from helpers.paths import HELPERS
from helpers.tracks import ABOUT, CLASSES, FAST, iso, output, track, until


@pytest.fixture
def nights(tmp_path):
    """Write 3 events of a run and 2 of one still running, the last in sight (0..4 s)."""
    out = OutputFolder(tmp_path, {**ABOUT, "source": "night 1"}, CLASSES, video=False, floor=0, limits=FAST)
    out.events(
        [track(1, 0, ended=True, spiral=0.9), track(2, 1, ended=True, spiral=0.2, score=0.5), track(3, 2, ended=True)]
    )
    out.close(5, 0)
    out = OutputFolder(tmp_path, {**ABOUT, "source": "night 2"}, CLASSES, video=False, floor=0, limits=FAST)
    out.events([track(1, 3, ended=True), track(2, 4)])
    until(lambda: sum(event.crop is not None for event in query_events(tmp_path, Query())) == 5)
    yield tmp_path
    out.close(5, 0)


@pytest.fixture
def killed_run(tmp_path):
    """A run that was killed with two objects in sight, one of them unseen since."""
    code = (
        "import sys, time; from pathlib import Path; from helpers.tracks import output, track\n"
        "out = output(Path(sys.argv[1])); out.events([track(1, 0), track(2, 1, 4)]); print(flush=True); time.sleep(60)"
    )
    paths = [str(HELPERS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=env, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        until(lambda: len(query_events(tmp_path, Query())) == 2)
        assert [event.state for event in query_events(tmp_path, Query())] == ["confirmed"] * 2
        assert prune_events(tmp_path, Query(), dry_run=True)["events"] == 0
    finally:
        process.kill()
        process.communicate()
    return tmp_path


def test_events_of_a_killed_run_have_ended(killed_run):
    """A killed run cannot record its end; its events must not stay in sight forever."""
    assert [event.state for event in query_events(killed_run, Query())] == ["ended"] * 2
    assert get_event(killed_run, query_events(killed_run, Query())[0].id).state == "ended"
    assert prune_events(killed_run, Query(run=1), dry_run=True)["events"] == 2
    out = output(killed_run)  # the next run stores this, with the time
    database = sqlite3.connect(killed_run / "events.sqlite", isolation_level=None)
    assert database.execute("SELECT state, last_time FROM event").fetchall() == [("ended", iso(0)), ("ended", iso(4))]
    runs = "SELECT id, ended, interrupted FROM run ORDER BY id"
    assert database.execute(runs).fetchall() == [(1, iso(4), 1), (2, None, 0)]
    out.close(1, 0)
    assert database.execute("SELECT interrupted FROM run WHERE id = 2 AND ended IS NOT NULL").fetchall() == [(0,)]
    database.close()
    assert prune_events(killed_run, Query())["events"] == 2


def keys(events):
    return [(event.run, event.number) for event in events]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]),
        ({"run": 2}, [(2, 1), (2, 2)]),
        ({"name": "smo"}, [(1, 2)]),
        ({"name": "%"}, []),  # a text is not a pattern
        ({"min_score": 0.6, "run": 1}, [(1, 1), (1, 3)]),
        ({"min_probability": 0.85}, [(1, 1)]),
        ({"since": iso(2), "before": iso(4)}, [(1, 3), (2, 1)]),
        ({"limit": 2}, [(2, 1), (2, 2)]),  # the latest, in order
        ({"run": 9}, []),
        ({"kind": "hot pixel"}, []),
    ],
)
def test_query_selects_events(nights, query, expected):
    """Conditions work alone and together, as one SQL condition is made of them."""
    assert keys(query_events(nights, Query(**query))) == expected


def test_event_names_its_run_and_crop(nights):
    """A result is traceable to model and device; a deleted crop is not named."""
    event = query_events(nights, Query(run=2))[0]
    assert event.detector == event.engine == event.device == "x"
    assert event.probabilities == {"smooth": pytest.approx(0.2), "spiral": pytest.approx(0.8)}
    assert get_event(nights, event.id) == event
    (nights / event.crop).unlink()
    assert get_event(nights, event.id).crop is None


def test_json_keys_and_their_order_are_fixed(nights):
    """The JSON of `events list`, `events show` and the web API is a contract."""
    assert list(query_events(nights, Query())[0].to_dict()) == [
        "id", "run", "number", "first_frame", "last_frame", "first_time", "last_time", "frames", "source", "best_frame",
        "score", "class", "probability", "probabilities", "crop", "state", "kind", "sure", "device", "engine",
        "detector", "classifier", "version", "started", "box",
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", ["", "999", "00000000-00001", "../../etc/passwd", "00000000-00001' OR 1=1 --"])
def test_unknown_event_is_refused(nights, wrong):
    """An id comes from the command line or the network and may be anything."""
    with pytest.raises(NoSuchEvent, match="there is no event"):
        get_event(nights, wrong)


def test_pruning_deletes_crops_and_leaves_events_in_sight(nights):
    """Pruning may run at any time, also during a run."""
    assert prune_events(nights, Query(), dry_run=True)["events"] == 4
    assert len(query_events(nights, Query())) == 5
    assert prune_events(nights, Query(run=1), crops_only=True) | {"bytes": 0} == {"events": 0, "crops": 3, "bytes": 0}
    assert [event.crop for event in query_events(nights, Query(run=1))] == [None] * 3
    assert not list(nights.glob("crops/0001/*.png"))
    assert prune_events(nights, Query()) | {"bytes": 0} == {"events": 4, "crops": 1, "bytes": 0}
    assert keys(query_events(nights, Query())) == [(2, 2)]  # it has not ended
    assert [path.name for path in nights.glob("crops/*/*.png")] == ["00002.png"]


def test_pruning_works_on_a_full_disk(small_disk):
    """Pruning makes space, so it must work where SQLite has none for shared memory."""
    out = output(small_disk)
    large = track(1, ended=True)
    large.cutout = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    out.events([large])
    out.close(1, 0)
    with pytest.raises(OSError, match="No space"), (small_disk / "fill").open("wb", buffering=0) as fill:
        while fill.write(bytes(4096)):
            pass
    assert len(query_events(small_disk, Query())) == 1
    assert prune_events(small_disk, Query()) | {"bytes": 0} == {"events": 1, "crops": 1, "bytes": 0}
    assert query_events(small_disk, Query()) == []


def test_crops_that_a_run_deletes_meanwhile_are_not_an_error(nights, monkeypatch):
    """A run deletes crops for its quota: here each one after its first `stat`."""
    original, seen = Path.stat, set()

    def stat(path, **options):
        status = original(path, **options)
        if path.suffix == ".png" and path not in seen:
            seen.add(path)
            path.unlink()
        return status

    monkeypatch.setattr(Path, "stat", stat)
    assert prune_events(nights, Query(run=1)) == {"events": 3, "crops": 0, "bytes": 0}
    assert len(seen) == 3 and [event.run for event in query_events(nights, Query())] == [2, 2]


def test_pruning_deletes_nothing_outside_the_crops(nights):
    """An event file may come from elsewhere: its paths are not trusted."""
    database = sqlite3.connect(nights / "events.sqlite", isolation_level=None)
    database.execute("UPDATE event SET crop = '../precious.png' WHERE run = 1")
    database.close()
    precious = nights.parent / "precious.png"
    precious.write_bytes(b"")
    prune_events(nights, Query(run=1))
    assert precious.exists()


def test_folder_without_events_is_refused(tmp_path):
    """A mistyped folder must not look like a night without events."""
    with pytest.raises(UsageError, match=r"no events\.sqlite"):
        query_events(tmp_path, Query())


def test_commands_print_what_is_stored(nights):
    """The same events as table, JSON, CSV and file, and the counts of pruning."""

    def run(*arguments):
        done = galaxy_edge_in_process("events", *arguments[:1], "--in", nights, *arguments[1:])
        assert done.returncode == 0, done.stderr
        return done.stdout

    table = run("list", "--limit", "4")
    records = json.loads(run("list", "--format", "json"))
    assert [record["id"] in table for record in records] == [False, True, True, True, True]
    rows = list(csv.DictReader(io.StringIO(run("list", "--format", "csv"))))
    assert len(rows) == 5 and tuple(rows[0]) == COLUMNS
    assert (
        float(rows[0]["x1"]) == records[0]["box"][2]
        and json.loads(rows[0]["probabilities"]) == records[0]["probabilities"]
    )
    shown = run("show", records[0]["id"])
    assert f"id: {records[0]['id']}" in shown and "spiral 0.90, smooth 0.10" in shown
    assert json.loads(run("show", records[0]["id"], "--json")) == records[0]
    assert "3 events" in run("export", "--run", "1", nights / "night.csv")
    assert len((nights / "night.csv").read_text().splitlines()) == 4
    assert json.loads(run("export", "-", "--format", "json")) == records
    assert run("export", "-") == run("list", "--format", "csv")
    assert "4 events and 4 crops" in run("prune", "--all", "--dry-run")
    assert json.loads(run("prune", "--before", "2026-11-29", "--json"))["events"] == 4


def test_pipes_and_links_are_written_to_and_not_replaced(nights, tmp_path):
    """Renaming onto /dev/stdout replaced the device by a file forevery program."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "link.csv").symlink_to(tmp_path / "night.csv")
    for name in ("pipe", "link.csv"):
        done = galaxy_edge_in_process("events", "export", "--in", nights, "--format", "csv", tmp_path / name)
        assert done.returncode == 0, done.stderr
    assert os.read(reader, 65536).startswith(b"id,run,number")
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "night.csv").read_text().startswith("id,run,number")


@pytest.fixture
def with_hot_pixel(tmp_path):
    """An object and a hot pixel, in a run that still runs."""
    out, hot = output(tmp_path), track(1, 5)
    hot.kind = "hot pixel"
    out.events([hot, track(2, 6)])
    until(lambda: len(query_events(tmp_path, Query())) == 2)
    yield tmp_path
    out.close(2, 0)


@pytest.mark.parametrize("command", [["list", "--format", "json"], ["export", "-", "--format", "json"]])
def test_kind_is_selected_in_every_command(with_hot_pixel, command):
    """Users look for false detections with it."""
    done = galaxy_edge_in_process("events", *command, "--in", with_hot_pixel, "--kind", "hot pixel")
    assert done.returncode == 0, done.stderr
    assert [(event["run"], event["number"]) for event in json.loads(done.stdout)] == [(1, 1)]


def on_a_terminal(columns, *arguments):
    """Run the command line on a terminal of some columns; return what it prints."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "galaxy_edge", *map(str, arguments)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env) as process:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # raised when the program has closed the terminal
            while content := os.read(master, 65536):
                shown += content
        os.close(master)
    assert process.returncode == 0, shown
    return shown.decode()


def test_table_never_shortens_an_id(with_hot_pixel):
    """The id is the argument of `events show`; a long class name must give way."""
    ids = [event.id for event in query_events(with_hot_pixel, Query())]
    database = sqlite3.connect(with_hot_pixel / "events.sqlite", isolation_level=None)
    long = "a_galaxy_with_a_long_name_" * 3
    database.execute("UPDATE event SET class = ?", (long,))
    database.close()
    piped = galaxy_edge("events", "list", "--in", with_hot_pixel, env={"COLUMNS": "40"}).stdout
    assert all(event in piped for event in ids) and long in piped
    shown = on_a_terminal(72, "events", "list", "--in", with_hot_pixel)
    assert all(event in shown for event in ids) and long not in shown and "0.90" in shown and "1 +" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune"], "select the events to delete"),
        (["prune", "--all", "--run", "1"], "select the events to delete"),
        (["list", "--since", "yesterday"], "is not a time"),
        (["list", "--min-score", "nan"], "is not a finite number"),
        (["list", "--run", "9" * 20], "--run"),
        (["list", "--limit", "9" * 20], "--limit"),
        (["export", "night.doc"], "does not give the format"),
        (["export", "/proc/nowhere/night.csv"], "cannot be written"),
        (["show", "1234"], "there is no event '1234'"),
    ],
)
def test_wrong_use_is_refused_and_changes_nothing(nights, arguments, message):
    """Each refusal says what is wrong and exits with 2."""
    done = galaxy_edge_in_process("events", arguments[0], "--in", nights, *arguments[1:])
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert len(query_events(nights, Query())) == 5
