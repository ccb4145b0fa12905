"""Copying an event file while a run writes, and pruning it."""

import errno
import json
import sqlite3
from contextlib import closing

import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.events.maintenance import backup_events
from galaxy_edge.runtime.events.queries import Query, prune_events
from helpers.command_line import galaxy_edge_in_process
from helpers.tracks import output, rows, track, until


def test_backup_of_a_running_run_has_every_committed_event(tmp_path):
    """A plain copy lacks what is in the journal, or is torn."""
    out = output(tmp_path / "out")
    out.events([track(number) for number in range(1, 51)])
    until(lambda: not out.writer.pending)
    target = tmp_path / "copy.sqlite"
    done = galaxy_edge_in_process("events", "backup", "--in", tmp_path / "out", target)
    assert done.stdout == f"50 events: {target}\n"
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT count(*) FROM told").fetchone() == (50,)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with pytest.raises(UsageError, match="exists: name another file"):
        backup_events(tmp_path / "out", target)
    out.close(1, 0)


@pytest.mark.parametrize("is_old", [False, True])
def test_pruning_gives_space_back(tmp_path, is_old):
    """The file kept its size forever.

    Files of earlier versions are converted when no run writes.
    """
    out = output(tmp_path)
    out.events([track(number, ended=True) for number in range(1, 901)])
    out.close(1, 0)
    path = tmp_path / "events.sqlite"
    if is_old:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode=DELETE")
            database.execute("PRAGMA auto_vacuum=NONE")
            database.execute("VACUUM")
    before = path.stat().st_size
    assert prune_events(tmp_path, Query(run=1))["events"] == 900
    assert path.stat().st_size < before / 3


def test_pruning_before_a_time_goes_by_the_last_sighting(tmp_path):
    """An object that is in sight all night began long ago, and is not old."""
    out = output(tmp_path)
    out.events([track(1, 0, 3, ended=True), track(2, 0, 900, ended=True)])
    out.close(1, 0)
    limits = ("--before", "2026-11-22T21:10", "--json")
    done = galaxy_edge_in_process("events", "prune", "--in", tmp_path, *limits)
    assert json.loads(done.stdout)["events"] == 1
    assert rows(tmp_path, "SELECT number FROM event") == [(2,)]


def test_pruning_by_age_leaves_events_of_a_run_whose_clock_was_not_set(tmp_path):
    """A board without a battery and without a network begins in 1970.

    Last night's events were 56 years old.
    """
    out = output(tmp_path)
    out.events([track(1, ended=True)])
    out.close(1, 0)
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as database, database:
        database.execute("UPDATE run SET started = '1970-01-01T00:00:20.000Z'")
    assert prune_events(tmp_path, Query(last_before="2027-01-01"), dry_run=True)["events"] == 0
    assert prune_events(tmp_path, Query(last_before="2027-01-01", run=1), dry_run=True)["events"] == 1


def test_pruning_by_age_leaves_events_of_a_run_that_is_not_as_old(tmp_path):
    """Frames of last year that were processed today: their results are not old."""
    out = output(tmp_path)
    out.events([track(1, ended=True)])
    out.close(1, 0)

    def pruned(*conditions):
        done = galaxy_edge_in_process("events", "prune", "--in", tmp_path, *conditions, "--dry-run", "--json")
        return json.loads(done.stdout)["events"]

    assert pruned("--before", "1h") == 0
    assert pruned("--before", "1h", "--run", "1") == 1
    assert pruned("--before", "2027-01-01") == 1  # a date is one of the frames
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as database, database:
        database.execute("UPDATE run SET started = '2026-11-22T20:00:00.000Z'")
    assert pruned("--before", "1h") == 1


def test_a_backup_that_fails_leaves_no_file(tmp_path, monkeypatch):
    out = output(tmp_path / "out")
    out.events([track(1, 0, ended=True)])
    out.close(1, 0)

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("galaxy_edge.runtime.events.maintenance.commit_staged", full)
    with pytest.raises(UsageError, match="No space left"):
        backup_events(tmp_path / "out", tmp_path / "copy.sqlite")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
