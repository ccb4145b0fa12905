"""The watchdog of a run whose disk hangs, with a real call and a real socket.

The call to the disk really does not return.
"""

import os
import socket
import threading

from galaxy_edge.runtime.events.event import events_from_tracks
from galaxy_edge.runtime.recording import output_folder
from galaxy_edge.runtime.recording.pending import WriterLimits
from galaxy_edge.runtime.recording.row_writer import REFUSED_FILE
from galaxy_edge.runtime.session import RunConfig, Session
from helpers.pipeline import Sky
from helpers.tracks import CLASSES, track, until


def test_watchdog_is_not_fed_while_the_disk_hangs(tmp_path, monkeypatch):
    """The writer opens a pipe as its file: the call blocks until somebody reads it."""
    limits = WriterLimits(batch_seconds=0.01, hang_seconds=0.1)
    monkeypatch.setattr(output_folder, "WriterLimits", lambda: limits)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "4")  # each frame is worth a message
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    out = tmp_path / "out"
    readers, states = [], []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        def messages():
            heard = []
            while True:
                try:
                    heard.append(manager.recv(100))
                except BlockingIOError:
                    return heard

        def watch(frame, detections, record, stats):
            writer = session.output.writer
            if frame.number == 1:
                assert messages() == [b"READY=1\nWATCHDOG=1"]
                os.mkfifo(out / REFUSED_FILE)
                refused = track(99_999)
                refused.score = float("nan")  # SQLite stores it as NULL, which the table refuses
                writer.events(events_from_tracks([refused], session.output.info._replace(classes=CLASSES)))
                until(lambda: writer.is_hung)
            elif frame.number == 4:
                assert messages() == [], "frames were processed, but the disk did not respond"
                states.append(session.monitor.state())
                readers.append(threading.Thread(target=(out / REFUSED_FILE).read_bytes))
                readers[0].start()
                until(lambda: not writer.is_hung and not writer.pending)
            elif frame.number == 6:
                assert set(messages()) == {b"WATCHDOG=1"}
                states.append(session.monitor.state())

        session = Session(RunConfig(out=out, video=False), source=Sky(8))

        stats = session.run(watch)
        readers[0].join()
    assert states == ["stalled", "running"], "/healthz answers 503 when stalled"
    assert "1 events" in str(stats.failure)
