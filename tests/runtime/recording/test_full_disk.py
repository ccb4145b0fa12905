"""The output folder on a full or small disk: files are dropped, events and the frame loop are not affected."""

import logging
import time

import cv2
import pytest
from galaxy_edge.runtime.recording.video_writer import VideoWriter
from helpers.tracks import frame, named, noisy, output, record, rows, track, until


def test_full_disk_stops_files_until_there_is_space_again(small_disk, caplog):
    """A run of weeks fills its disk at some point: every event must survive, and the loop must not wait."""
    out = output(small_disk)
    numbers = iter(range(1, 10_000))

    def play(count):
        """Do what the frame loop does: it never waits, whatever the disk does."""
        for number in (next(numbers) for _ in range(count)):
            out.frame(frame(number), named(), record(number))
            out.events([track(number, number, ended=True, side=64)])

    play(5)
    until(lambda: len(rows(small_disk, "SELECT 1 FROM event")) == 5)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as stream, pytest.raises(OSError):
        while True:
            stream.write(b"x" * 4096)
    play(300)
    until(lambda: out.writer.stopped and out.writer.pending)
    play(300)
    time.sleep(0.2)  # many batches fail
    assert len(caplog.messages) == 1 and "output has stopped" in caplog.messages[0]
    assert out.writer.images_lost + out.writer.lines_lost > 0
    ballast.unlink()
    until(lambda: not out.writer.stopped and not out.writer.pending)
    assert len(caplog.messages) == 1, "that it works again is reported after it has for a while"
    play(5)
    out.close(610, 0)
    assert "written again" in caplog.messages[1]
    assert str(out.writer.failure).startswith("output was lost: 0 events,") and len(caplog.messages) == 2
    # Every event is there, those of the full disk without a crop; the last ones with one.
    assert rows(small_disk, "SELECT count(*) FROM event") == [(610,)]
    assert rows(small_disk, "SELECT count(*) FROM event WHERE number > 605 AND crop IS NOT NULL") == [(5,)]
    assert rows(small_disk, "PRAGMA integrity_check") == [("ok",)]
    for path in small_disk.glob("crops/0001/*"):
        assert cv2.imread(str(path)).shape == (64, 64, 3)
    for line in (small_disk / "frames-0001.jsonl").read_text().splitlines():
        assert line.startswith("{") and line.endswith("}")


def test_disk_that_is_nearly_full_is_reported_once(small_disk, caplog):
    """Deleting old crops makes space for a moment, again and again: not two messages each time."""
    caplog.set_level(logging.INFO)
    out = output(small_disk)
    for _ in range(20):
        out.writer._report("images", "the disk is below its floor of free space")
        out.writer._report("images", "")
        out.writer.check()
    assert [message.split(":")[0] for message in caplog.messages] == ["output has stopped"]
    out.close(0, 0)
    assert len(caplog.messages) == 2 and "written again" in caplog.messages[1]


def test_incomplete_video_is_deleted(small_disk, caplog):
    """FFmpeg does not report a full disk; the end of the file, without which it does not play, is missing."""
    (small_disk / "ballast").write_bytes(b"x" * 3_900_000)
    video = VideoWriter(small_disk / "annotated-0001.mp4")
    for number in range(100):
        video.write(noisy(number).pixels)
    video.close()
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
    assert len(caplog.messages) == 1 and "could not be completed and was deleted" in caplog.messages[0]


def test_below_the_floor_only_rows_are_written(tmp_path, caplog):
    """The floor keeps the rest of the system alive; rows are small and are what a user needs most."""
    out = output(tmp_path, floor=1 << 60)
    out.events([track(1, ended=True)])
    out.close(1, 0)
    assert "floor of free space" in caplog.messages[0]
    assert rows(tmp_path, "SELECT number, crop FROM event") == [(1, None)] and not list(tmp_path.glob("crops/0001/*"))
