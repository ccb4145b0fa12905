"""An output folder that is removed, renamed, replaced or damaged during a run."""

import os
import shutil
import sqlite3

import pytest
from galaxy_edge.runtime.errors import RunFailure
from galaxy_edge.runtime.recording import integrity
from helpers.tracks import output, rows, track, until


@pytest.mark.parametrize("how", ["removed", "renamed", "event file removed"])
def test_folder_that_is_gone_is_opened_again_and_the_run_fails_at_the_end(tmp_path, caplog, how):
    """Every event used to be reported as written, into files that nobody could find."""
    folder = tmp_path / "out"
    out = output(folder)
    out.events([track(1, ended=True)])
    until(lambda: rows(folder, "SELECT number FROM event") == [(1,)])
    if how == "removed":
        shutil.rmtree(folder.rename(tmp_path / "gone"), ignore_errors=True)  # the run may add a file meanwhile
    elif how == "renamed":
        folder.rename(tmp_path / "elsewhere")
    else:
        (folder / "events.sqlite").unlink()
    until(lambda: any("during the run" in message for message in caplog.messages))
    out.events([track(2, ended=True)])
    until(lambda: not out.writer.pending)
    out.writer.check()
    out.close(1, 0)
    assert rows(folder, "SELECT run, number, crop FROM event") == [(1, 2, "crops/0001/00002.png")]
    assert rows(folder, "SELECT uid FROM run") == [(out.info.uid,)]
    assert "was removed or renamed: what was written before is missing" in str(out.writer.failure)
    if how == "renamed":
        assert rows(tmp_path / "elsewhere", "SELECT number FROM event") == [(1,)]


def test_folder_that_was_replaced_by_that_of_another_run_ends_the_run(tmp_path):
    """Two runs must never write into one folder."""
    folder = tmp_path / "out"
    out = output(folder)
    output(tmp_path / "other").close(0, 0)
    folder.rename(tmp_path / "elsewhere")
    (tmp_path / "other").rename(folder)

    def fails():
        try:
            out.writer.check()
        except RunFailure as failure:
            return "now has an event file of another run" in str(failure)
        return False

    until(fails)
    out.events([track(1)])
    out.close(1, 0)
    assert str(out.writer.failure).startswith("output was lost: 1 events,")
    assert rows(folder, "SELECT count(*) FROM event") == [(0,)]


def test_random_bytes_over_the_event_file_are_noticed(tmp_path, monkeypatch, caplog):
    """The full check runs in the background.

    The damaged file is kept, and the run continues in a new one.
    """
    monkeypatch.setattr(integrity.IntegrityChecker.__init__, "__defaults__", (0.05,))
    first = output(tmp_path)
    first.events([track(number, ended=True) for number in range(1, 300)])
    first.close(1, 0)
    out = output(tmp_path)
    path = tmp_path / "events.sqlite"
    with path.open("r+b") as stream:
        stream.seek(8192)
        stream.write(os.urandom(path.stat().st_size - 8192))
    until(lambda: any("damaged event file is now" in message for message in caplog.messages))
    out.events([track(1, ended=True)])
    out.close(1, 0)
    assert rows(tmp_path, "SELECT run, number FROM event") == [(2, 1)]
    assert len(list(tmp_path.glob("events-unreadable-*.sqlite"))) == 1
    assert "events.sqlite was damaged" in str(out.writer.failure)


def test_row_that_breaks_a_constraint_is_set_aside_alone(tmp_path, caplog):
    """Hundreds of events were lost behind three with NaN."""
    out = output(tmp_path)
    bad = track(2, ended=True)
    bad.score = float("nan")
    out.events([track(1, ended=True), bad, track(3, ended=True)])
    out.close(1, 0)
    assert rows(tmp_path, "SELECT number FROM event ORDER BY number") == [(1,), (3,)]
    assert str(out.writer.failure).startswith("output was lost: 1 events,")
    assert len([message for message in caplog.messages if "cannot be stored" in message]) == 1
    assert '"frames": 1' in (tmp_path / "events-refused.jsonl").read_text()


def test_disk_without_wal_gets_a_rollback_journal(tmp_path, caplog):
    """Some network shares and FUSE disks lack shared memory.

    SQLite's dot-file layer lacks it too.
    """
    from galaxy_edge.runtime.events.database import open_database

    database, _ = open_database(tmp_path / "events.sqlite", vfs="unix-dotfile")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
    database.execute(
        "INSERT INTO run (started, source, version, engine, detector, classifier) VALUES ('a','b','c','d','e','f')"
    )
    database.close()
    assert "does not support WAL" in caplog.text
    with sqlite3.connect(tmp_path / "events.sqlite") as base:
        assert base.execute("SELECT count(*) FROM run").fetchone() == (1,)
