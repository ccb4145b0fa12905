"""The report that a run writes at its end, and that its page serves."""

import json
import logging
import threading

import pytest
from galaxy_edge.runtime.report import at_end
from galaxy_edge.runtime.report.at_end import write_report
from helpers.command_line import galaxy_edge
from helpers.sky_nights import sky_night


@pytest.fixture
def folder(tmp_path):
    return sky_night(tmp_path / "out")


def test_the_report_is_of_the_frames_night(folder):
    assert write_report(folder, 20.0) == folder / "report-2026-11-22.html"
    assert "M 94" in (folder / "report-2026-11-22.html").read_text()


def test_of_several_nights_in_any_order_the_latest_is_reported(folder):
    """The images of a folder are read in the order of their names."""
    times = ("2026-11-24T22:00:00.000Z", "2026-11-25T01:00:00.000Z", "2026-11-21T22:00:00.000Z")
    lines = [
        json.dumps({"frame": n, "source": "a.fits", "time": time, "detections": []}) for n, time in enumerate(times)
    ]
    (folder / "frames-0002.jsonl").write_text("\n".join(lines[:2]) + "\n")
    (folder / "frames-0002-2.jsonl").write_text(lines[2] + "\n")
    assert write_report(folder, 20.0) == folder / "report-2026-11-24.html"


def test_a_failure_is_one_warning_and_no_exception(folder, caplog):
    """A damaged event file is reported, and breaks nothing."""
    (folder / "events.sqlite").write_bytes(b"damaged" * 1000)
    assert write_report(folder, 20.0) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_disk_that_does_not_respond_is_not_waited_for(folder, monkeypatch, caplog):
    hang = threading.Event()
    monkeypatch.setattr(at_end, "last_logged_time", lambda folder: hang.wait(30) and None)
    assert write_report(folder, 0.2) is None and "was not ready in 0.2 s" in caplog.text
    hang.set()


def test_no_space_and_no_time_are_reported(folder, caplog):
    caplog.set_level(logging.INFO)
    assert write_report(folder, 0.1) is None and "galaxy-edge report writes it" in caplog.text
    assert write_report(folder, 20.0, keep_free=2**62) is None and "the disk is full" in caplog.text


def test_a_run_writes_its_report_and_names_it(tmp_path):
    done = galaxy_edge("run", "--camera", "demo", "--max-frames", "3", "--out", tmp_path, "--place", "48,16")
    assert done.returncode == 0, done.stderr
    assert len(reports := list(tmp_path.glob("report-*.html"))) == 1
    assert f"report: {reports[0]}" in (done.stdout + done.stderr).replace("\n", "")
