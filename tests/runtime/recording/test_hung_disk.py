"""A disk that is slow, or does not respond at all.

What is written when, what is reported, and how a run ends.
"""

import contextlib
import sqlite3
import threading

import pytest
from galaxy_edge import files as atomic_files
from galaxy_edge.runtime.events.store import EventStore
from galaxy_edge.runtime.monitoring.health import RunMonitor
from galaxy_edge.runtime.recording import writer as output_writer
from galaxy_edge.runtime.recording.frame_log import FrameLog
from galaxy_edge.runtime.recording.pending import WriterLimits
from galaxy_edge.runtime.recording.video_writer import VideoWriter
from helpers.tracks import frame, named, output, record, rows, track, until

FAST = {"batch_seconds": 0.01, "stop_seconds": 0.3}


@pytest.fixture
def gate():
    """A gate that is closed.

    It is opened at the end, so that no thread is left behind.
    """
    event = threading.Event()
    yield event
    event.set()


def test_row_does_not_wait_for_its_crop(tmp_path, monkeypatch, gate):
    """On a slow card, crops took all the time and events waited for them.

    A crop is entered once it is there.
    """
    sync = atomic_files._fsync

    def slow(path, flags):
        if path.suffix == ".png":
            gate.wait()
        sync(path, flags)

    monkeypatch.setattr(atomic_files, "_fsync", slow)
    out = output(tmp_path, limits=WriterLimits(**FAST))
    out.events([track(1, ended=True)])
    until(lambda: rows(tmp_path, "SELECT number, crop FROM event") == [(1, None)])
    gate.set()
    until(lambda: rows(tmp_path, "SELECT crop FROM event") == [("crops/0001/00001.png",)])
    out.close(1, 0)
    assert out.writer.failure is None


def test_dropped_crops_are_counted_live_reported_once_and_fail_the_run(tmp_path, monkeypatch, gate, caplog):
    """Dropped crops are reported during the run, which then fails.

    Thousands of them were once reported only at the end, with exit code 0.
    """
    sync = atomic_files._fsync
    out = output(tmp_path, limits=WriterLimits(**FAST, max_images=2))
    monkeypatch.setattr(atomic_files, "_fsync", lambda path, flags: (gate.wait(), sync(path, flags)))
    monitor = RunMonitor(writer=out.writer)
    for number in range(1, 21):
        out.events([track(number, ended=True)])
        out.writer.check()
    assert monitor.stats()["images_lost"] >= 10
    shown = record(21)
    out.frame(frame(21), named(), shown)
    assert shown.to_dict()["lost"]["images"] >= 10  # what --json prints
    assert len([message for message in caplog.messages if "crops are dropped" in message]) == 1
    until(lambda: rows(tmp_path, "SELECT count(*) FROM event") == [(20,)])
    gate.set()
    out.close(21, 0)
    assert str(out.writer.failure).startswith("output was lost: 0 events, ")


def test_hung_disk_is_a_fault_and_does_not_hold_up_the_end(tmp_path, monkeypatch, gate, caplog):
    """The watchdog was fed for a minute while nothing could be written.

    Stopping the run took 17 s.
    """
    out = output(tmp_path, limits=WriterLimits(**FAST, hang_seconds=0.05))
    monitor = RunMonitor(writer=out.writer)
    monitor.frame(frame(), named(), record())
    assert monitor.state() == "running" and out.writer.is_alive
    save = EventStore.save
    monkeypatch.setattr(EventStore, "save", lambda *arguments: (gate.wait(), save(*arguments))[1])
    out.events([track(1), track(2)])
    until(lambda: out.writer.is_hung)
    assert monitor.state() == "stalled", "/healthz and the metric `up` depend on it, and the watchdog on the same"
    assert not out.writer.is_alive and monitor.stats()["evidence_stopped"] == "the disk does not respond"
    assert monitor.stats()["events_waiting"] == 2 and monitor.stats()["events_waiting_seconds"] > 0
    out.writer.check()
    out.writer.check()
    assert [message for message in caplog.messages if "does not respond" in message] == [
        "output has stopped: the disk does not respond; detection continues"
    ]
    out.writer.deadline.start()
    out.close(1, 0)
    assert str(out.writer.failure).startswith("output was lost: 2 events,")
    assert str(out.writer.failure).endswith("(the disk does not respond)")


def test_locked_event_file_is_abandoned_with_the_number_of_lost_events(tmp_path):
    """No call hangs there, each ends after a moment.

    A stop waited on a busy machine until closing had counted them.
    """
    out = output(tmp_path, limits=WriterLimits(**FAST, busy_timeout=0.01))
    with contextlib.closing(sqlite3.connect(tmp_path / "events.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        out.events([track(1), track(2)])
        until(lambda: "locked" in out.writer.stopped)
        out.writer.deadline.start()
        assert out.writer.why_abandoned() == "output was lost: 2 events are not stored (database is locked)"
    until(lambda: not out.writer.pending)
    assert out.writer.why_abandoned() == ""
    out.close(1, 0)
    assert out.writer.failure is None


def test_video_on_a_hung_disk_is_abandoned(tmp_path, monkeypatch, gate):
    """The frame loop's own thread writes the video, so it cannot check for a stop.

    While the write hangs, the loop does not run.
    """
    monkeypatch.setattr(VideoWriter, "write", lambda video, image: gate.wait())
    monkeypatch.setattr(output_writer, "ABANDONED_CALL_SECONDS", 0.01)
    out = output(tmp_path, video=True)
    loop = threading.Thread(target=out.frame, args=(frame(), named(), record()))
    loop.start()
    out.writer.deadline.start()
    until(out.writer.why_abandoned)
    gate.set()
    loop.join()
    out.close(1, 0)


def test_others_are_informed_of_an_event_after_its_commit(tmp_path, monkeypatch, gate):
    """Thousands of events were announced to the broker that no table had."""
    out = output(tmp_path, limits=WriterLimits(**FAST))
    informed = []
    out.writer.on_commit(
        lambda events: informed.extend((event.number, rows(tmp_path, "SELECT number FROM event")) for event in events)
    )
    save = EventStore.save
    monkeypatch.setattr(EventStore, "save", lambda *arguments: (gate.wait(), save(*arguments))[1])
    out.events([track(1)])
    assert informed == []
    gate.set()
    until(lambda: informed)
    assert informed == [(1, [(1,)])]
    out.close(1, 0)


def test_slow_end_of_a_run_whose_output_is_stored_is_no_loss(tmp_path, monkeypatch, gate, caplog):
    """On a very slow machine, a run failed with "0 events are not stored"."""
    monkeypatch.setattr(output_writer, "ABANDONED_CALL_SECONDS", 0.0)
    end = EventStore.end
    monkeypatch.setattr(EventStore, "end", lambda *arguments: (gate.wait(), end(*arguments)))
    out = output(tmp_path, limits=WriterLimits(**FAST))
    out.events([track(1)])
    until(lambda: not out.writer.pending and rows(tmp_path, "SELECT crop FROM event") != [(None,)])
    out.writer.deadline.start()
    assert out.writer.why_abandoned() == ""
    out.close(1, 0)
    assert out.writer.failure is None
    assert caplog.messages[-1] == (
        "the end of the run could not be recorded: the disk does not respond; its output is stored"
    )


def test_lines_of_the_log_that_a_hung_disk_keeps_are_lost(tmp_path, monkeypatch, gate):
    """Lines that are being written were neither waiting nor lost."""
    write = FrameLog.write
    monkeypatch.setattr(FrameLog, "write", lambda log, lines: (lines and gate.wait(), write(log, lines)))
    monkeypatch.setattr(output_writer, "ABANDONED_CALL_SECONDS", 0.0)
    out = output(tmp_path, limits=WriterLimits(**FAST))
    out.writer.line("{}")
    out.writer.deadline.start()
    until(
        lambda: (
            out.writer.why_abandoned()
            == "output was lost: 1 lines of the log are not stored (the disk does not respond)"
        )
    )
    out.close(1, 0)
    assert str(out.writer.failure).startswith("output was lost: 0 events, 0 images and 1 lines of the log")
