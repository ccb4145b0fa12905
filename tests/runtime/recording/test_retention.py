"""The output folder under its quota: what goes first, and where log and video end."""

import os
import time

import numpy as np
import pytest
from galaxy_edge.runtime.recording.retention import RetainedFiles
from helpers.tracks import frame, frames_of, named, noisy, output, record, rows, track, until

pytestmark = pytest.mark.usefixtures("quick")


def test_the_oldest_crops_go_first_and_their_events_stay(tmp_path):
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)  # 1.8 kB as PNG
    for _ in range(3):  # three runs into one folder
        out = output(tmp_path, quota=20_000)
        for count in range(1, 7):
            one = track(count, ended=True)
            one.cutout = noise
            out.events([one])
        out.close(1, 0)
        evidence = sum(path.stat().st_size for path in tmp_path.glob("crops/*/*"))
        assert evidence <= 20_000 + 6 * 2000, "at most a batch over"
    kept = rows(tmp_path, "SELECT run, number FROM event WHERE crop IS NOT NULL ORDER BY run, number")
    assert rows(tmp_path, "SELECT count(*) FROM event") == [(18,)]
    assert len(kept) < 18 and kept == sorted(kept) and kept[-1] == (3, 6)
    there = {(int(path.parent.name), int(path.stem)) for path in tmp_path.glob("crops/*/*.png")}
    assert set(kept) == there


def test_evidence_scans_its_own_files_only_oldest_first(tmp_path):
    (tmp_path / "crops/0001").mkdir(parents=True)
    for age, name in enumerate(
        ("crops/0001/00001.png", "crops/0001/00002.png", "frames-0001.jsonl", "notes.txt", "events.sqlite")
    ):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    (tmp_path / "crops/0001/.00003.png").write_bytes(b"half")
    evidence = RetainedFiles(tmp_path, quota=150, floor=0)
    assert evidence.size == 300 and not (tmp_path / "crops/0001/.00003.png").exists()
    assert evidence.retire() == ["crops/0001/00001.png", "crops/0001/00002.png"]
    assert (tmp_path / "notes.txt").exists() and (tmp_path / "events.sqlite").exists()
    free = iter([50, 50, 500])
    assert RetainedFiles(tmp_path, quota=0, floor=400, free=lambda _: next(free)).retire() == ["frames-0001.jsonl"]


def test_a_crop_that_went_while_no_run_was_there_is_forgotten(tmp_path):
    out = output(tmp_path)
    out.events([track(1, ended=True)])
    out.close(1, 0)
    (tmp_path / "crops/0001/00001.png").unlink()
    output(tmp_path).close(0, 0)
    assert rows(tmp_path, "SELECT crop FROM event") == [(None,)]


def test_the_log_goes_on_in_a_second_file_and_the_first_can_be_given_up(tmp_path):
    """A file of the log is never so long that it takes the quota for itself."""
    out = output(tmp_path, quota=8000)
    for number in range(1000):
        out.frame(frame(number), named(), record(number))
        if number % 20 == 0:
            time.sleep(0.03)
    out.close(1000, 0)
    left = sorted(path.name for path in tmp_path.glob("frames-*"))
    assert left and "frames-0001.jsonl" not in left and left[-1] >= "frames-0001-03.jsonl"


def test_the_video_ends_before_anything_is_given_up_for_it(tmp_path):
    told = []
    out = output(tmp_path, video=True, quota=6_000_000, alert=told.append)
    for number in range(1, 251):
        out.frame(noisy(number), named(), record(number))
        out.events([track(number, number, ended=True)])
    out.close(250, 0)
    video = tmp_path / "annotated-0001.mp4"
    assert len(told) == 1 and "annotated-0001.mp4 ends after" in told[0]
    assert video.stat().st_size <= 2_300_000 and f"after {frames_of(video)} frames" in told[0]
    assert rows(tmp_path, "SELECT count(*) FROM event WHERE crop IS NOT NULL") == [(250,)]
    # What an earlier run left does not keep the next from having a video: it goes first.
    again = output(tmp_path, video=True, quota=6_000_000, alert=told.append)
    for number in range(1, 5):
        again.frame(noisy(number), named(), record(number))
    again.close(4, 0)
    assert frames_of(tmp_path / "annotated-0002.mp4") == 4 and len(told) == 1


@pytest.mark.parametrize("quota", [1 << 10, 600_000, 800_000])
def test_no_video_takes_more_than_the_quota(tmp_path, quota):
    """FFmpeg writes 256 KiB at once: with a quota of 1 KB the video alone was 275 KB."""
    told = []
    out = output(tmp_path, video=True, quota=quota, alert=told.append)
    for number in range(1, 51):
        out.frame(noisy(number), named(), record(number))
    out.close(50, 0)
    videos = list(tmp_path.glob("*annotated*"))
    assert len(told) == 1 and ("is not begun" in told[0]) == (not videos) == (quota < 700_000)
    assert sum(video.stat().st_size for video in videos) <= quota


def test_the_growing_files_count(tmp_path):
    out = output(tmp_path, video=True)
    for number in range(20):
        out.frame(noisy(number), named(), record(number))
    part, log = tmp_path / ".annotated-0001.mp4", tmp_path / "frames-0001.jsonl"
    until(lambda: log.stat().st_size and out.writer.evidence_bytes == part.stat().st_size + log.stat().st_size > 10_000)
    out.close(20, 0)
