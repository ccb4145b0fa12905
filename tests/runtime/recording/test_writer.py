"""The writer of the output folder.

Its order of writing, what delays it, and what is lost when it fails.
"""

import os
import sqlite3
import threading
import time

from galaxy_edge.runtime.events.store import EventStore
from galaxy_edge.runtime.recording.frame_log import FrameLog
from galaxy_edge.runtime.recording.pending import WriterLimits
from helpers.tracks import frame, named, output, record, rows, track, until


def test_crop_is_on_the_disk_before_its_row(tmp_path, monkeypatch):
    """A power loss keeps what was synced and any part of the rest.

    Content, name and folder first, then the row.
    """
    done, sync, save, replace_ = [], os.fsync, EventStore.save, os.replace

    def fsync(handle):
        sync(handle)
        done.append(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path))

    def renamed(part, path):
        replace_(part, path)
        done.append(f"{os.path.relpath(path, tmp_path)} is there")

    def saved(store, events, deleted, entered, clock_step):
        refused = save(store, events, deleted, entered, clock_step)
        done.extend(f"row of {crop}" for _, crop in [*events, *entered] if crop)
        return refused

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


def test_locked_store_does_not_delay_the_loop(tmp_path):
    """Another program may lock the file for a while.

    A backup, or a user with sqlite3.
    """
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


def test_events_beyond_the_limit_are_lost_unless_they_come_again(tmp_path):
    """If the store accepts nothing, events beyond the limit are dropped and reported."""
    out = output(tmp_path, limits=WriterLimits(batch_seconds=0.01, busy_timeout=0.2, max_events=2))
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
    assert str(out.writer.failure).startswith("output was lost: 1 events,")


def test_failed_writer_reports_how_much_was_lost(tmp_path, monkeypatch, caplog):
    """What is on the disk already is not lost.

    What the writer held and what came later is.
    """
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    out = output(tmp_path)
    out.events([track(1, ended=True)])
    until(lambda: rows(tmp_path, "SELECT number FROM event") == [(1,)])

    def fail(*_):
        raise ValueError("unexpected")

    monkeypatch.setattr(EventStore, "save", fail)
    out.events([track(2, ended=True)])
    until(lambda: out.writer.stopped)
    out.events([track(2, ended=True), track(3, ended=True)])
    out.frame(frame(3), named(), record(3))
    out.close(3, 0)
    assert caplog.messages == ["output has ended: the writer failed; detection continues"]
    assert str(out.writer.failure) == "output was lost: 2 events, 0 images and 1 lines of the log (the writer failed)"


def test_rows_written_before_the_writer_fails_are_not_lost(tmp_path, monkeypatch):
    """If a batch fails at its last part, rows already stored are not counted as lost."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    out = output(tmp_path)
    monkeypatch.setattr(FrameLog, "write", lambda *_: 1 / 0)
    out.events([track(1, ended=True)])
    until(lambda: rows(tmp_path, "SELECT number FROM event") == [(1,)])
    out.frame(frame(1), named(), record(1))
    until(lambda: out.writer.stopped)
    out.close(1, 0)
    assert str(out.writer.failure).startswith("output was lost: 0 events, 0 images and 1 lines of the log")
