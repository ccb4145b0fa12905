"""The output folder: its files are complete or absent."""

import fcntl
import os
import threading

import cv2
import pytest
from galaxy_edge.errors import UsageError
from helpers.tracks import output, rows, track, until


def test_event_is_updated_in_place_and_keeps_its_id(tmp_path):
    """Clients know an event by its id during the run.

    Each update must replace its row and crop.
    """
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


def test_unchanged_best_view_is_not_written_again(tmp_path):
    """An SD card wears out with each write."""
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


def test_class_below_the_threshold_is_not_sure(tmp_path):
    """Users filter on the column."""
    out = output(tmp_path, abstain=0.9)
    out.events([track(1, spiral=0.8, ended=True)])
    out.close(1, 0)
    assert rows(tmp_path, "SELECT class, sure FROM event") == [("spiral", 0)]


def test_unconfirmed_object_is_not_an_event(tmp_path):
    """Noise is seen once and must not fill the store."""
    out, unsure = output(tmp_path), track(1)
    unsure.state, unsure.confirmed = "tentative", False
    out.events([unsure, track(2)])
    unsure.state = "ended"
    out.events([unsure])
    out.close(1, 0)
    assert rows(tmp_path, "SELECT number FROM event") == [(2,)]


def test_event_that_turns_out_to_be_a_hot_pixel_is_updated(tmp_path):
    """The kind is only known after some frames, when the event is stored already."""
    out, hot_pixel = output(tmp_path), track(1)
    out.events([hot_pixel])
    until(lambda: rows(tmp_path, "SELECT kind FROM event") == [("object",)])
    hot_pixel.kind = "hot pixel"
    out.events([hot_pixel])
    out.close(1, 0)
    assert rows(tmp_path, "SELECT kind FROM event") == [("hot pixel",)]


def test_two_runs_cannot_write_into_one_folder(tmp_path):
    """They would overwrite each other's files.

    The lock must be released when the first run ends.
    """
    first = output(tmp_path)
    with pytest.raises(UsageError, match="another run writes"):
        output(tmp_path)
    first.close(0, 0)
    output(tmp_path).close(0, 0)


def test_reader_does_not_keep_a_run_from_starting(tmp_path):
    """`galaxy-edge events` holds the lock for a moment to see whether a run writes."""
    output(tmp_path).close(0, 0)
    handle = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, [handle]).start()
    output(tmp_path).close(0, 0)


def test_failed_write_leaves_no_partial_crop(tmp_path):
    """A partial file would be counted as a crop by the next run."""
    out = output(tmp_path)
    (tmp_path / "crops/0001/00001.png").mkdir()  # a file cannot replace a folder
    out.events([track(1, ended=True), track(2, ended=True)])
    out.close(1, 0)
    assert [path.name for path in (tmp_path / "crops/0001").iterdir()] == ["00001.png"] or rows(
        tmp_path, "SELECT crop FROM event WHERE number = 1"
    ) == [(None,)]
    assert not list((tmp_path / "crops/0001").glob(".*"))
    assert rows(tmp_path, "SELECT count(*) FROM event") == [(2,)]
