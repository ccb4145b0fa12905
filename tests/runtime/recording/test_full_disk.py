"""The output folder on a full or small disk: evidence stops, events and the loop do not."""

import time

import cv2
import pytest
from galaxy_edge.runtime.recording.video_writer import VideoWriter
from helpers.tracks import frame, named, noisy, output, record, rows, track, until

pytestmark = pytest.mark.usefixtures("quick")


def test_a_full_disk_stops_evidence_but_not_the_loop_and_is_over_when_it_is_over(small_disk):
    told = []
    out = output(small_disk, alert=told.append)
    numbers = iter(range(1, 10_000))

    def see(count):
        """What the loop does: it never waits, whatever the disk does."""
        for number in (next(numbers) for _ in range(count)):
            out.frame(frame(number), named(), record(number))
            out.events([track(number, number, ended=True, side=64)])

    see(5)
    until(lambda: len(rows(small_disk, "SELECT 1 FROM event")) == 5)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as stream, pytest.raises(OSError):
        while True:
            stream.write(b"x" * 4096)
    see(300)
    until(lambda: out.writer.stopped and out.writer.pending)
    see(300)
    time.sleep(0.2)  # many batches fail
    assert len(told) == 1 and "evidence has stopped" in told[0]
    assert out.writer.crops_lost + out.writer.lines_lost > 0
    ballast.unlink()
    until(lambda: not out.writer.stopped and not out.writer.pending)
    assert len(told) == 2 and "kept again" in told[1]
    see(5)
    out.close(610, 0)
    assert out.writer.failure is None and "every event is written" in told[2]
    # Every event is there, those of the full disk without a picture; the last ones with one.
    assert rows(small_disk, "SELECT count(*) FROM event") == [(610,)]
    assert rows(small_disk, "SELECT count(*) FROM event WHERE number > 605 AND crop IS NOT NULL") == [(5,)]
    assert rows(small_disk, "PRAGMA integrity_check") == [("ok",)]
    for path in small_disk.glob("crops/0001/*"):
        assert cv2.imread(str(path)).shape == (64, 64, 3)
    for line in (small_disk / "frames-0001.jsonl").read_text().splitlines():
        assert line.startswith("{") and line.endswith("}")


def test_a_video_that_the_disk_did_not_take_is_no_video(small_disk):
    """FFmpeg writes on without a word when the disk is full; the end, without which nothing plays, is lost."""
    told = []
    (small_disk / "ballast").write_bytes(b"x" * 3_900_000)
    video = VideoWriter(small_disk / "annotated-0001.mp4", told.append)
    for number in range(100):
        video.write(noisy(number).pixels)
    video.close()
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
    assert len(told) == 1 and "could not be completed and was deleted" in told[0]


def test_on_a_small_disk_the_video_leaves_room_for_crops(small_disk):
    told = []
    out = output(small_disk, video=True, floor=200_000, alert=told.append)
    for number in range(1, 101):
        out.frame(noisy(number), named(), record(number))
        out.events([track(number, number, ended=True)])
    out.close(100, 0)
    assert rows(small_disk, "SELECT count(*) FROM event WHERE crop IS NOT NULL") == [(100,)]
    assert len(told) == 1 and "nearly full" in told[0] and not list(small_disk.glob("*.mp4"))


def test_below_the_floor_nothing_is_written_but_rows(tmp_path):
    told = []
    out = output(tmp_path, floor=1 << 60, alert=told.append)
    out.events([track(1, ended=True)])
    out.close(1, 0)
    assert "floor of free space" in told[0]
    assert rows(tmp_path, "SELECT number, crop FROM event") == [(1, None)] and not list(tmp_path.glob("crops/0001/*"))
