"""The output folder within its quota and on a full disk.

What is deleted first, where log and video end, what is lost.
"""

import logging
import os
import time

import cv2
import numpy as np
import pytest
from galaxy_edge.runtime.recording.retention import QUOTA, RetainedFiles
from galaxy_edge.runtime.recording.video_writer import VideoWriter
from helpers.tracks import frame, frames_of, named, noisy, output, record, rows, track, until


def test_oldest_crops_are_deleted_and_their_events_stay(tmp_path):
    """Over several runs in one folder, rows name exactly the crops that are left."""
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)  # 1.8 kB as PNG
    for _ in range(3):  # three runs into one folder
        out = output(tmp_path, quota=20_000)
        for count in range(1, 7):
            event = track(count, ended=True)
            event.cutout = noise
            out.events([event])
        out.close(1, 0)
        size = sum(path.stat().st_size for path in tmp_path.glob("crops/*/*"))
        assert size <= 20_000 + 6 * 2000, "at most one batch above the quota"
    named_crops = rows(tmp_path, "SELECT run, number FROM event WHERE crop IS NOT NULL ORDER BY run, number")
    assert rows(tmp_path, "SELECT count(*) FROM event") == [(18,)]
    assert len(named_crops) < 18 and named_crops == sorted(named_crops) and named_crops[-1] == (3, 6)
    crops = {(int(path.parent.name), int(path.stem)) for path in tmp_path.glob("crops/*/*.png")}
    assert set(named_crops) == crops


def test_only_own_files_are_deleted_oldest_first(tmp_path):
    """A user's file in the folder and the event file must never be deleted.

    Half files of a killed run are.
    """
    (tmp_path / "crops/0001").mkdir(parents=True)
    for age, name in enumerate(
        ("crops/0001/00001.png", "crops/0001/00002.png", "frames-0001.jsonl", "notes.txt", "events.sqlite")
    ):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    (tmp_path / "crops/0001/.00003.png").write_bytes(b"half")
    files = RetainedFiles(tmp_path, quota=150, floor=0)
    files.scan()
    assert files.size == 300 and not (tmp_path / "crops/0001/.00003.png").exists()
    files.delete_oldest()
    assert files.take_deleted() == ["crops/0001/00001.png", "crops/0001/00002.png"]
    assert (tmp_path / "notes.txt").exists() and (tmp_path / "events.sqlite").exists()
    free = iter([50, 500])
    files = RetainedFiles(tmp_path, quota=0, floor=400, free=lambda _: next(free))
    files.scan()
    files.delete_oldest()
    assert files.take_deleted() == ["frames-0001.jsonl"]


def test_crop_deleted_between_runs_is_no_longer_named(tmp_path):
    """A user may delete crops by hand; the next run must notice."""
    out = output(tmp_path)
    out.events([track(1, ended=True)])
    out.close(1, 0)
    (tmp_path / "crops/0001/00001.png").unlink()
    output(tmp_path).close(0, 0)
    assert rows(tmp_path, "SELECT crop FROM event") == [(None,)]


def test_log_continues_in_further_files_and_the_first_is_deleted(tmp_path):
    """An open log file cannot be deleted, so it must never take the quota for itself."""
    out = output(tmp_path, quota=8000)
    for number in range(1000):
        out.frame(frame(number), named(), record(number))
        if number % 20 == 0:
            time.sleep(0.03)
    out.close(1000, 0)
    left = sorted(path.name for path in tmp_path.glob("frames-*"))
    assert left and "frames-0001.jsonl" not in left and left[-1] >= "frames-0001-03.jsonl"


def test_video_ends_before_anything_is_deleted_for_it(tmp_path, caplog):
    """A video is worth less than its run's crops, but more than earlier runs' crops."""
    out = output(tmp_path, video=True, quota=6_000_000)
    for number in range(1, 251):
        out.frame(noisy(number), named(), record(number))
        out.events([track(number, number, ended=True)])
    out.close(250, 0)
    video = tmp_path / "annotated-0001.webm"
    assert len(caplog.messages) == 1 and "annotated-0001.webm ends after" in caplog.messages[0]
    assert video.stat().st_size <= 2_400_000 and f"after {frames_of(video)} frames" in caplog.messages[0]
    assert rows(tmp_path, "SELECT count(*) FROM event WHERE crop IS NOT NULL") == [(250,)]
    # Files of an earlier run do not keep the next from having a video: they are deleted first.
    again = output(tmp_path, video=True, quota=6_000_000)
    for number in range(1, 5):
        again.frame(noisy(number), named(), record(number))
    again.close(4, 0)
    assert frames_of(tmp_path / "annotated-0002.webm") == 4 and len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("disk", "quota", "floor", "is_started"),
    [
        ("tmp_path", 20_000, 0, False),
        ("tmp_path", 600_000, 0, False),
        ("tmp_path", 800_000, 0, True),
        ("small_disk", QUOTA, 200_000, False),
    ],
)
def test_video_stays_within_quota_and_disk(request, caplog, disk, quota, floor, is_started):
    """FFmpeg writes 256 KiB at once: with a small quota the video alone took 275 KB."""
    folder = request.getfixturevalue(disk)
    out = output(folder, video=True, quota=quota, floor=floor)
    for number in range(1, 101):
        out.frame(noisy(number), named(), record(number))
        out.events([track(number, number, ended=True)])
    out.close(100, 0)
    videos = list(folder.glob("*annotated*"))
    assert "small or nearly full" in caplog.messages[0]
    assert all("larger than its share of the quota" in message for message in caplog.messages[1:])
    assert ("is not started" in caplog.messages[0]) == (not videos) == (not is_started)
    assert sum(video.stat().st_size for video in videos) <= quota
    if disk == "small_disk":  # a disk without space for a video still takes every crop
        assert rows(folder, "SELECT count(*) FROM event WHERE crop IS NOT NULL") == [(100,)]


def test_files_that_are_being_written_count(tmp_path):
    """A long video would otherwise exceed the quota unnoticed."""
    out = output(tmp_path, video=True)
    for number in range(40):
        out.frame(noisy(number), named(), record(number))
    part, log = tmp_path / "annotated-0001.webm", tmp_path / "frames-0001.jsonl"
    until(lambda: log.stat().st_size and out.writer.evidence_bytes == part.stat().st_size + log.stat().st_size > 10_000)
    out.close(40, 0)


def test_full_disk_stops_files_until_there_is_space_again(small_disk, caplog):
    """A run of weeks fills its disk at some point.

    Every event must survive, and the loop must not wait.
    """
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
    """Deleting old crops makes space for a moment, repeatedly.

    Not two messages each time.
    """
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
    """FFmpeg does not report a full disk.

    The end of the file, without which it does not play, is missing.
    """
    (small_disk / "ballast").write_bytes(b"x" * 3_900_000)
    video = VideoWriter(small_disk / "annotated-0001.webm")
    for number in range(100):
        video.write(noisy(number).pixels)
    video.close()
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
    assert len(caplog.messages) == 1 and "could not be completed and was deleted" in caplog.messages[0]


def test_below_the_floor_only_rows_are_written(tmp_path, caplog):
    """The floor keeps the rest of the system alive.

    Rows are small and are what a user needs most.
    """
    out = output(tmp_path, floor=1 << 60)
    out.events([track(1, ended=True)])
    out.close(1, 0)
    assert "floor of free space" in caplog.messages[0]
    assert rows(tmp_path, "SELECT number, crop FROM event") == [(1, None)] and not list(tmp_path.glob("crops/0001/*"))
