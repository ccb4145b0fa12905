"""The output folder: what is in it, whole or not at all, under its quota, on a full disk and after one."""

import fcntl
import os
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace

import cv2
import numpy as np
import pytest
from galaxy_edge.runtime import keeper
from galaxy_edge.runtime.errors import UsageError
from galaxy_edge.runtime.evidence import Evidence
from galaxy_edge.runtime.schema import open_base
from galaxy_edge.runtime.store import EventStore
from galaxy_edge.runtime.videofile import VideoOut
from small_tracks import frame, named, output, record, track


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Batches follow each other at once, so that tests need not wait."""
    monkeypatch.setattr(keeper, "BATCH_SECONDS", 0.01)


def rows(folder, query):
    with closing(sqlite3.connect(folder / "events.sqlite")) as base:
        return base.execute(query).fetchall()


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def test_an_event_grows_in_place_and_keeps_its_id(tmp_path):
    out = output(tmp_path, abstain=0.7)
    out.events([track(1, 0, level=10)])
    until(lambda: rows(tmp_path, "SELECT state FROM event") == [("confirmed",)])
    (before,) = rows(tmp_path, "SELECT id FROM told")
    out.events([track(1, 0, 4, ended=True, level=50)])
    out.close(5, 0)
    (after,) = rows(tmp_path, "SELECT id, state, frames, class, sure, detector, engine, device, crop FROM told")
    assert after == (before[0], "ended", 5, "spiral", 1, "x", "x", "x", "crops/0001/00001.png")
    assert (cv2.imread(str(tmp_path / after[-1])) == 50).all()  # the later, better view
    assert rows(tmp_path, "SELECT frames FROM run WHERE ended IS NOT NULL") == [(5,)]


def test_a_view_that_is_still_the_best_is_not_written_again(tmp_path):
    """An SD card wears with each write."""
    out = output(tmp_path)
    crop = tmp_path / "crops/0001/00001.png"
    out.events([track(1, 0)])
    until(crop.exists)
    first = crop.stat().st_ino
    again = track(1, 0, 5, ended=True)
    again.best_frame = 0
    out.events([again])
    out.close(6, 0)
    assert crop.stat().st_ino == first and rows(tmp_path, "SELECT frames FROM event") == [(6,)]


def test_a_class_below_the_threshold_is_a_guess(tmp_path):
    out = output(tmp_path, abstain=0.9)
    out.events([track(1, spiral=0.8, ended=True)])
    out.close(1, 0)
    assert rows(tmp_path, "SELECT class, sure FROM event") == [("spiral", 0)]


def test_an_object_that_is_not_confirmed_is_no_event(tmp_path):
    out, unsure = output(tmp_path), track(1)
    unsure.state, unsure.confirmed = "tentative", False
    out.events([unsure, track(2)])
    unsure.state = "ended"
    out.events([unsure])
    out.close(1, 0)
    assert rows(tmp_path, "SELECT number FROM event") == [(2,)]


def test_an_event_that_turns_out_to_be_a_hot_pixel_says_so(tmp_path):
    out, one = output(tmp_path), track(1)
    out.events([one])
    until(lambda: rows(tmp_path, "SELECT kind FROM event") == [("object",)])
    one.kind = "hot pixel"
    out.events([one])
    out.close(1, 0)
    assert rows(tmp_path, "SELECT kind FROM event") == [("hot pixel",)]


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
    for age, name in enumerate(("crops/0001/00001.png", "crops/0001/00002.png", "frames-0001.jsonl", "notes.txt", "events.sqlite")):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    (tmp_path / "crops/0001/.00003.png").write_bytes(b"half")
    evidence = Evidence(tmp_path, quota=150, floor=0)
    assert evidence.size == 300 and not (tmp_path / "crops/0001/.00003.png").exists()
    assert evidence.retire() == ["crops/0001/00001.png", "crops/0001/00002.png"]
    assert (tmp_path / "notes.txt").exists() and (tmp_path / "events.sqlite").exists()
    free = iter([50, 50, 500])
    assert Evidence(tmp_path, quota=0, floor=400, free=lambda _: next(free)).retire() == ["frames-0001.jsonl"]


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


def noisy(number):
    """A frame that no codec makes small."""
    pixels = np.random.default_rng(number).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    return replace(frame(number), pixels=pixels)


def frames_of(video):
    """Decode a video to its end; return how many frames it has."""
    capture, count = cv2.VideoCapture(str(video)), 0
    while capture.read()[0]:
        count += 1
    return count


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
    until(lambda: log.stat().st_size and out.keeper.evidence_bytes == part.stat().st_size + log.stat().st_size > 10_000)
    out.close(20, 0)


def test_two_runs_cannot_write_into_one_folder(tmp_path):
    first = output(tmp_path)
    with pytest.raises(UsageError, match="another run writes"):
        output(tmp_path)
    first.close(0, 0)
    output(tmp_path).close(0, 0)


@pytest.mark.parametrize("where", ["header", "middle", "empty"])
def test_a_damaged_event_file_is_set_aside_and_named(tmp_path, where):
    out = output(tmp_path)
    out.events([track(number, ended=True) for number in range(1, 200)])
    out.close(1, 0)
    path = tmp_path / "events.sqlite"
    content = bytearray(path.read_bytes())
    if where == "header":
        content[:16] = b"my diary, no sql"
    elif where == "middle":
        content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    else:
        content = content[:4096]  # the first page alone: it names pages that are not there
    path.write_bytes(content)
    told = []
    again = output(tmp_path, alert=told.append)
    again.events([track(1, ended=True)])
    again.close(1, 0)
    (aside,) = tmp_path.glob("events-unreadable-*.sqlite")
    assert aside.read_bytes() == bytes(content)
    assert len(told) == 1 and str(aside) in told[0]
    # The new file goes on counting where the folder's files end: nothing of the old run is overwritten.
    assert rows(tmp_path, "SELECT run, crop FROM event") == [(2, "crops/0002/00001.png")]
    assert len(list(tmp_path.glob("crops/0001/*.png"))) == 199


def test_who_only_looks_does_not_keep_a_run_from_beginning(tmp_path):
    output(tmp_path).close(0, 0)
    handle = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, [handle]).start()
    output(tmp_path).close(0, 0)


def test_the_data_base_of_another_program_is_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as base:
        base.execute("CREATE TABLE diary (line)")
    with pytest.raises(UsageError, match="another program"):
        output(tmp_path)
    assert rows(tmp_path, "SELECT name FROM sqlite_schema") == [("diary",)]


def test_a_newer_file_is_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as base:
        base.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="newer"):
        output(tmp_path)


FIRST_SCHEMA = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, source TEXT NOT NULL, version TEXT NOT NULL,
    engine TEXT NOT NULL, detector TEXT NOT NULL, classifier TEXT NOT NULL, frames INTEGER, bad_pictures INTEGER
);
CREATE TABLE event (
    run INTEGER NOT NULL REFERENCES run(id), number INTEGER NOT NULL,
    first_frame INTEGER NOT NULL, last_frame INTEGER NOT NULL, first_time TEXT NOT NULL, last_time TEXT NOT NULL,
    frames INTEGER NOT NULL, source TEXT NOT NULL, best_frame INTEGER NOT NULL,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL, score REAL NOT NULL,
    class TEXT NOT NULL, probability REAL NOT NULL, probabilities TEXT NOT NULL, crop TEXT,
    PRIMARY KEY (run, number)
);
CREATE INDEX event_class ON event(class);
INSERT INTO run VALUES (1, '2026-11-20T20:00:00.000Z', NULL, 'demo', '0.1.0', 'litert', 'd', 'c', 9, 0);
INSERT INTO run VALUES (2, '2026-11-21T20:00:00.000Z', NULL, 'demo', '0.1.0', 'litert', 'd', 'c', 9, 0);
INSERT INTO event VALUES (2, 7, 0, 8, 'a', 'b', 9, 'demo', 3, 1, 2, 3, 4, 0.5, 'spiral', 0.9, '{"spiral": 0.9}', NULL);
PRAGMA user_version = 1;
"""


def test_the_file_of_the_first_version_is_brought_up_to_date(tmp_path):
    """As 0.1.0 wrote it: its events stay, with ids, and have the same columns as those of a new file."""
    (tmp_path / "new").mkdir()
    output(tmp_path / "new").close(0, 0)
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as base:
        base.executescript(FIRST_SCHEMA)
    output(tmp_path).close(0, 0)
    ((event, state, kind),) = rows(tmp_path, "SELECT id, state, kind FROM told")
    assert event.endswith("-00007") and (state, kind) == ("ended", "object")
    assert len({uid for (uid,) in rows(tmp_path, "SELECT uid FROM run")}) == 3
    for table in ("run", "event", "told"):
        columns = f"SELECT name FROM pragma_table_info('{table}') ORDER BY name"
        assert rows(tmp_path, columns) == rows(tmp_path / "new", columns)


def test_no_half_written_picture_is_left_by_a_failure(tmp_path):
    out = output(tmp_path)
    (tmp_path / "crops/0001/00001.png").mkdir()  # no file can take this place
    out.events([track(1, ended=True), track(2, ended=True)])
    out.close(1, 0)
    assert [path.name for path in (tmp_path / "crops/0001").iterdir()] == ["00001.png"] or rows(
        tmp_path, "SELECT crop FROM event WHERE number = 1") == [(None,)]
    assert not list((tmp_path / "crops/0001").glob(".*"))
    assert rows(tmp_path, "SELECT count(*) FROM event") == [(2,)]


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
    until(lambda: out.keeper.stopped and out.keeper.pending)
    see(300)
    time.sleep(0.2)  # many batches fail
    assert len(told) == 1 and "evidence has stopped" in told[0]
    assert out.keeper.crops_lost + out.keeper.lines_lost > 0
    ballast.unlink()
    until(lambda: not out.keeper.stopped and not out.keeper.pending)
    assert len(told) == 2 and "kept again" in told[1]
    see(5)
    out.close(610, 0)
    assert out.keeper.failure is None and "every event is written" in told[2]
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
    video = VideoOut(small_disk / "annotated-0001.mp4", told.append)
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
    order = ["crops", "crops/0001/.00001.png", "crops/0001/00001.png is there", "crops/0001", "row of crops/0001/00001.png"]
    assert [step for step in done if step in order] == order


def test_a_commit_is_on_the_disk_when_it_is_done(tmp_path):
    # In WAL mode SQLite would by default leave the last commits to the system's leisure.
    base, _ = open_base(tmp_path / "events.sqlite")
    with closing(base):
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert base.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_below_the_floor_nothing_is_written_but_rows(tmp_path):
    told = []
    out = output(tmp_path, floor=1 << 60, alert=told.append)
    out.events([track(1, ended=True)])
    out.close(1, 0)
    assert "floor of free space" in told[0]
    assert rows(tmp_path, "SELECT number, crop FROM event") == [(1, None)] and not list(tmp_path.glob("crops/0001/*"))


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
    until(lambda: out.keeper.stopped)
    out.events([track(2, ended=True), track(3, ended=True)])
    out.frame(frame(3), named(), record(3))
    out.close(3, 0)
    assert told == ["evidence has ended: its writer failed; detection goes on"]
    # The sheet is the picture.
    assert str(out.keeper.failure) == (
        "evidence was lost: 2 events, 1 pictures and 1 lines of the log (its writer failed)")


def test_a_batch_whose_rows_are_written_is_not_lost_with_its_writer(tmp_path, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    out = output(tmp_path)
    monkeypatch.setattr(out.keeper._log, "write", lambda _: 1 / 0)
    out.events([track(1, ended=True)])
    until(lambda: rows(tmp_path, "SELECT number FROM event") == [(1,)])
    out.frame(frame(1), named(), record(1))
    until(lambda: out.keeper.stopped)
    out.close(1, 0)
    assert str(out.keeper.failure).startswith("evidence was lost: 0 events, 1 pictures and 1 lines of the log")


def test_events_that_find_no_place_are_a_failure_unless_they_come_again(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "MOST_EVENTS", 2)
    out = output(tmp_path)
    other = sqlite3.connect(tmp_path / "events.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    out.events([track(1), track(2)])
    until(lambda: out.keeper.stopped and out.keeper.pending == 2)
    out.events([track(3), track(4), track(3)])
    assert out.keeper.events_lost == 2
    other.execute("ROLLBACK")
    other.close()
    until(lambda: not out.keeper.stopped and not out.keeper.pending)
    out.events([track(3, ended=True)])
    out.close(1, 0)
    assert rows(tmp_path, "SELECT number FROM event ORDER BY number") == [(1,), (2,), (3,)]
    assert str(out.keeper.failure).startswith("evidence was lost: 1 events,")
