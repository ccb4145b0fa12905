"""The writer of the output folder: in what order it writes, what holds it up, and what is lost when it fails."""

import os
import sqlite3
import threading
import time

import pytest
from galaxy_edge.runtime.events.store import EventStore
from galaxy_edge.runtime.recording import writer
from helpers.tracks import frame, named, output, record, rows, track, until

pytestmark = pytest.mark.usefixtures("quick")


def test_what_a_row_names_is_on_the_disk_before_the_row(tmp_path, monkeypatch):
    # A power loss keeps what was synced and any part of the rest: content, name and folder come first, then the row.
    done, sync, save, replace_ = [], os.fsync, EventStore.save, os.replace

    def fsync(handle):
        sync(handle)
        done.append(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path))

    def renamed(part, path):
        replace_(part, path)
        done.append(f"{os.path.relpath(path, tmp_path)} is there")

    def saved(store, events, gone=()):
        events = list(events)
        save(store, events, gone)
        done.extend(f"row of {crop}" for _, crop in events)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(EventStore, "save", saved)
    out = output(tmp_path)
    out.events([track(1, ended=True)])
    out.close(1, 0)
    order = [
        "crops",
        "crops/0001/.00001.png",
        "crops/0001/00001.png is there",
        "crops/0001",
        "row of crops/0001/00001.png",
    ]
    assert [step for step in done if step in order] == order


def test_a_store_that_is_locked_holds_up_nothing_but_itself(tmp_path):
    """Another program may have the file open for a while: a backup, or someone with sqlite3."""
    out = output(tmp_path)
    other = sqlite3.connect(tmp_path / "events.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(1, 101):
        out.frame(frame(number), named(), record(number))
        out.events([track(number, number, ended=True)])
    time.sleep(0.3)
    assert other.execute("SELECT count(*) FROM event").fetchone() == (0,)
    other.execute("ROLLBACK")
    other.close()
    out.close(100, 0)
    assert rows(tmp_path, "SELECT count(*) FROM event WHERE crop IS NOT NULL") == [(100,)]


def test_events_that_find_no_place_are_a_failure_unless_they_come_again(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MOST_EVENTS", 2)
    out = output(tmp_path)
    other = sqlite3.connect(tmp_path / "events.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    out.events([track(1), track(2)])
    until(lambda: out.writer.stopped and out.writer.pending == 2)
    out.events([track(3), track(4), track(3)])
    assert out.writer.events_lost == 2
    other.execute("ROLLBACK")
    other.close()
    until(lambda: not out.writer.stopped and not out.writer.pending)
    out.events([track(3, ended=True)])
    out.close(1, 0)
    assert rows(tmp_path, "SELECT number FROM event ORDER BY number") == [(1,), (2,), (3,)]
    assert str(out.writer.failure).startswith("evidence was lost: 1 events,")


def test_a_writer_that_fails_for_good_is_a_failure_that_says_how_much_was_lost(tmp_path, monkeypatch):
    """What is on the disk already is not lost; what the writer held and what came after it is."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    told = []
    out = output(tmp_path, alert=told.append)
    out.events([track(1, ended=True)])
    until(lambda: rows(tmp_path, "SELECT number FROM event") == [(1,)])

    def fail(*_):
        raise ValueError("nobody thought of this")

    monkeypatch.setattr(EventStore, "save", fail)
    out.events([track(2, ended=True)])
    until(lambda: out.writer.stopped)
    out.events([track(2, ended=True), track(3, ended=True)])
    out.frame(frame(3), named(), record(3))
    out.close(3, 0)
    assert told == ["evidence has ended: its writer failed; detection goes on"]
    # The sheet is the picture.
    assert str(out.writer.failure) == (
        "evidence was lost: 2 events, 1 pictures and 1 lines of the log (its writer failed)"
    )


def test_a_batch_whose_rows_are_written_is_not_lost_with_its_writer(tmp_path, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    out = output(tmp_path)
    monkeypatch.setattr(out.writer._log, "write", lambda _: 1 / 0)
    out.events([track(1, ended=True)])
    until(lambda: rows(tmp_path, "SELECT number FROM event") == [(1,)])
    out.frame(frame(1), named(), record(1))
    until(lambda: out.writer.stopped)
    out.close(1, 0)
    assert str(out.writer.failure).startswith("evidence was lost: 0 events, 1 pictures and 1 lines of the log")
