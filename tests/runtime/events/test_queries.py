"""`galaxy-edge events`: what a person, a script and a spreadsheet get of what was found."""

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
from galaxy_edge.runtime.events.queries import COLUMNS, NoSuchEvent, Query, get_event, prune_events, query_events
from galaxy_edge.runtime.recording.output_folder import OutputFolder
from helpers.command_line import galaxy_edge as command_line
from helpers.paths import HELPERS
from helpers.tracks import ABOUT, CLASSES, iso, output, track, until


@pytest.fixture
def nights(tmp_path):
    """Two runs: three events, then two; their times are seconds 0..4. The second goes on, with the last in sight."""
    out = OutputFolder(tmp_path, {**ABOUT, "source": "night 1"}, CLASSES, video=False, floor=0)
    out.events(
        [track(1, 0, ended=True, spiral=0.9), track(2, 1, ended=True, spiral=0.2, score=0.5), track(3, 2, ended=True)]
    )
    out.close(5, 0)
    out = OutputFolder(tmp_path, {**ABOUT, "source": "night 2"}, CLASSES, video=False, floor=0)
    out.events([track(1, 3, ended=True), track(2, 4)])
    until(lambda: len(query_events(tmp_path, Query())) == 5)
    yield tmp_path
    out.close(5, 0)


@pytest.fixture
def cut_off(tmp_path):
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
        assert [record["state"] for record in query_events(tmp_path, Query())] == ["confirmed"] * 2
        assert prune_events(tmp_path, Query(), dry_run=True)["events"] == 0
    finally:
        process.kill()
        process.communicate()
    return tmp_path


def test_events_of_a_run_that_was_killed_are_over(cut_off):
    assert [record["state"] for record in query_events(cut_off, Query())] == ["ended"] * 2
    assert get_event(cut_off, query_events(cut_off, Query())[0]["id"])["state"] == "ended"
    assert prune_events(cut_off, Query(run=1), dry_run=True)["events"] == 2
    out = output(cut_off)  # the next run writes so, and by when
    base = sqlite3.connect(cut_off / "events.sqlite", isolation_level=None)
    assert base.execute("SELECT state, last_time FROM event").fetchall() == [("ended", iso(0)), ("ended", iso(4))]
    runs = "SELECT id, ended, interrupted FROM run ORDER BY id"
    assert base.execute(runs).fetchall() == [(1, iso(4), 1), (2, None, 0)]
    out.close(1, 0)
    assert base.execute("SELECT interrupted FROM run WHERE id = 2 AND ended IS NOT NULL").fetchall() == [(0,)]
    base.close()
    assert prune_events(cut_off, Query())["events"] == 2


def which(records):
    return [(record["run"], record["number"]) for record in records]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]),
        ({"run": 2}, [(2, 1), (2, 2)]),
        ({"name": "smo"}, [(1, 2)]),
        ({"name": "%"}, []),  # a text is no pattern
        ({"min_score": 0.6, "run": 1}, [(1, 1), (1, 3)]),
        ({"min_probability": 0.85}, [(1, 1)]),
        ({"since": iso(2), "before": iso(4)}, [(1, 3), (2, 1)]),
        ({"limit": 2}, [(2, 1), (2, 2)]),  # the last ones, in order
        ({"run": 9}, []),
        ({"kind": "hot pixel"}, []),
    ],
)
def test_what_is_chosen(nights, query, expected):
    assert which(query_events(nights, Query(**query))) == expected


def test_an_event_carries_where_it_came_from(nights):
    record = query_events(nights, Query(run=2))[0]
    assert record["detector"] == "x" and record["engine"] == "x" and record["device"] == "x"
    assert record["probabilities"] == {"smooth": pytest.approx(0.2), "spiral": pytest.approx(0.8)}
    assert get_event(nights, record["id"]) == record
    (nights / record["crop"]).unlink()
    assert get_event(nights, record["id"])["crop"] is None  # never the name of a file that is gone


@pytest.mark.parametrize("wrong", ["", "1", "00000000-00001", "../../etc/passwd", "00000000-00001' OR 1=1 --"])
def test_an_event_that_is_not_there(nights, wrong):
    with pytest.raises(NoSuchEvent, match="there is no event"):
        get_event(nights, wrong)


def test_pruning_takes_crops_along_and_leaves_what_goes_on(nights):
    assert prune_events(nights, Query(), dry_run=True)["events"] == 4
    assert len(query_events(nights, Query())) == 5
    assert prune_events(nights, Query(run=1), crops_only=True) | {"bytes": 0} == {"events": 0, "crops": 3, "bytes": 0}
    assert [record["crop"] for record in query_events(nights, Query(run=1))] == [None] * 3
    assert not list(nights.glob("crops/0001/*.png"))
    assert prune_events(nights, Query()) | {"bytes": 0} == {"events": 4, "crops": 1, "bytes": 0}
    assert which(query_events(nights, Query())) == [(2, 2)]  # it has not ended
    assert [path.name for path in nights.glob("crops/*/*.png")] == ["00002.png"]


def test_on_a_full_disk_events_are_listed_and_pruning_makes_room(small_disk):
    """SQLite has no room there for what processes share; pruning, which makes room, was refused with the rest."""
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


def test_crops_that_the_run_retires_meanwhile_are_no_error(nights, monkeypatch):
    """Whenever it is: each crop of the first run goes once it was looked at for the first time."""
    look, seen = Path.stat, set()

    def stat(path, **how):
        status = look(path, **how)
        if path.suffix == ".png" and path not in seen:
            seen.add(path)
            path.unlink()
        return status

    monkeypatch.setattr(Path, "stat", stat)
    assert prune_events(nights, Query(run=1)) == {"events": 3, "crops": 0, "bytes": 0}
    assert len(seen) == 3 and [record["run"] for record in query_events(nights, Query())] == [2, 2]


def test_pruning_deletes_nothing_outside_the_crops(nights):
    """A file of events may come from elsewhere: what it names is not trusted."""
    base = sqlite3.connect(nights / "events.sqlite", isolation_level=None)
    base.execute("UPDATE event SET crop = '../precious.png' WHERE run = 1")
    base.close()
    precious = nights.parent / "precious.png"
    precious.write_bytes(b"")
    prune_events(nights, Query(run=1))
    assert precious.exists()


def test_a_folder_without_events(tmp_path):
    with pytest.raises(UsageError, match=r"no events\.sqlite"):
        query_events(tmp_path, Query())


def test_the_commands(nights):
    def run(*arguments):
        done = command_line("events", *arguments[:1], "--in", nights, *arguments[1:])
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
    assert json.loads(run("prune", "--before", "1h", "--json"))["events"] == 4


def test_what_is_no_file_is_written_into_and_not_replaced(nights, tmp_path):
    """A rename put a file in the place of /dev/stdout, for every program on the machine."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "link.csv").symlink_to(tmp_path / "night.csv")
    for place in ("pipe", "link.csv"):
        done = command_line("events", "export", "--in", nights, "--format", "csv", tmp_path / place)
        assert done.returncode == 0, done.stderr
    assert os.read(reader, 65536).startswith(b"id,run,number")
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "night.csv").read_text().startswith("id,run,number")


@pytest.fixture
def with_a_hot_pixel(tmp_path):
    """One object, and one that turned out to be a hot pixel; the run goes on."""
    out, hot = output(tmp_path), track(1, 5)
    hot.kind = "hot pixel"
    out.events([hot, track(2, 6)])
    until(lambda: len(query_events(tmp_path, Query())) == 2)
    yield tmp_path
    out.close(2, 0)


@pytest.mark.parametrize("command", [["list", "--format", "json"], ["export", "-", "--format", "json"]])
def test_the_kind_is_chosen_beside_the_format(with_a_hot_pixel, command):
    done = command_line("events", *command, "--in", with_a_hot_pixel, "--kind", "hot pixel")
    assert done.returncode == 0, done.stderr
    assert which(json.loads(done.stdout)) == [(1, 1)]


def on_a_terminal(columns, *arguments):
    """Run the command line on a terminal of so many columns; return what it shows."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "galaxy_edge", *map(str, arguments)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env) as process:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # that is how the end of a terminal's program reads
            while content := os.read(master, 65536):
                shown += content
        os.close(master)
    assert process.returncode == 0, shown
    return shown.decode()


def test_a_table_never_shortens_an_id(with_a_hot_pixel):
    ids = [record["id"] for record in query_events(with_a_hot_pixel, Query())]
    base = sqlite3.connect(with_a_hot_pixel / "events.sqlite", isolation_level=None)
    long = "a_galaxy_with_a_long_name_" * 3
    base.execute("UPDATE event SET class = ?", (long,))
    base.close()
    piped = command_line("events", "list", "--in", with_a_hot_pixel, env={"COLUMNS": "40"}).stdout
    assert all(one in piped for one in ids) and long in piped
    shown = on_a_terminal(72, "events", "list", "--in", with_a_hot_pixel)
    assert all(one in shown for one in ids) and long not in shown and "0.90" in shown and "1 +" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune"], "say which events go"),
        (["prune", "--all", "--run", "1"], "say which events go"),
        (["list", "--since", "yesterday"], "is no time"),
        (["list", "--min-score", "nan"], "is no number"),
        (["list", "--run", "9" * 20], "--run"),
        (["list", "--limit", "9" * 20], "--limit"),
        (["export", "night.doc"], "does not tell the format"),
        (["export", "/proc/nowhere/night.csv"], "cannot be written"),
        (["show", "1234"], "there is no event '1234'"),
    ],
)
def test_wrong_use_gets_one_clear_line(nights, arguments, message):
    done = command_line("events", arguments[0], "--in", nights, *arguments[1:])
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert len(query_events(nights, Query())) == 5
