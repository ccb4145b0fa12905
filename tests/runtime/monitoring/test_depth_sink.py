"""The depth of solved frames is measured next to the loop."""

import csv
import dataclasses
import datetime
import time
from types import SimpleNamespace

import numpy as np
import pytest
from galaxy_edge.runtime.events.depth_tables import COMPLETENESS_FILE, DEPTH_FILE
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.monitoring.depth_sink import DepthSchedule, DepthSink
from galaxy_edge.runtime.monitoring.health import RunMonitor
from galaxy_edge.sky.depth import FieldGalaxy
from galaxy_edge.sky.wcs import Wcs
from helpers.star_index import write_star_index


@pytest.fixture
def solved(tmp_path, monkeypatch):
    """A frame with stars of a small catalogue."""
    wcs = Wcs((200.0, 20.0), (150.0, 150.0), np.array([[-0.001, 0], [0, -0.001]]), 300, 300)
    xy = np.random.default_rng(2).uniform(30, 270, (15, 2))
    radec, magnitude = wcs.to_sky(xy), np.linspace(9, 11, 15)
    write_star_index(tmp_path / "index.fits", radec[:, 0], radec[:, 1], magnitude)
    monkeypatch.setenv("GALAXY_EDGE_TYCHO2", str(tmp_path / "index.fits"))
    light = np.random.default_rng(1).normal(1000, 20, (300, 300))
    rows, columns = np.indices(light.shape) + 0.5
    for (x, y), mag in zip(xy, magnitude, strict=True):
        light += 10 ** (0.4 * (20 - mag)) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 4) / (4 * np.pi)
    moment = datetime.datetime(2026, 3, 20, 21, tzinfo=datetime.UTC)
    return Frame(
        np.zeros((300, 300, 3), np.uint8), moment, "a.fit", 0, planes=(light.astype(np.float32),),
        wcs=wcs,
    )  # fmt: skip


def record(frame):
    return SimpleNamespace(time=frame.time.isoformat(), frame=frame.number)


def test_a_solved_frame_becomes_a_row_and_figures(solved, tmp_path):
    monitor = RunMonitor()
    sink = DepthSink(tmp_path, 3, monitor)
    sink.frame(solved, Detections.empty(), record(solved))
    sink.close(1, 0)
    (row,) = csv.DictReader((tmp_path / DEPTH_FILE).read_text().splitlines())
    assert row["run"] == "3" and float(row["zero_point"]) == pytest.approx(20, abs=0.05)
    truth = 20 - 2.5 * np.log10(5 * 20 * np.sqrt(4 * np.pi * 2))  # stars of a variance of 2 pixels, noise of 20
    assert float(row["limiting_magnitude"]) == pytest.approx(truth, abs=0.1)
    assert monitor.stats()["limiting_magnitude"] == float(row["limiting_magnitude"])
    assert len(monitor.depth_report()["rows"]) == 1


def test_a_frame_without_position_starts_nothing(solved, tmp_path):
    monitor = RunMonitor()
    sink = DepthSink(tmp_path, 3, monitor)
    frame = Frame(solved.pixels, solved.time, "a.fit", 0, planes=solved.planes)
    sink.frame(frame, Detections.empty(), record(frame))
    sink.close(1, 0)
    assert not (tmp_path / DEPTH_FILE).exists() and monitor.stats()["limiting_magnitude"] is None


def test_a_missing_star_catalogue_is_reported_once(solved, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("GALAXY_EDGE_TYCHO2", "/nowhere")
    sink = DepthSink(tmp_path, 3, RunMonitor())
    sink.frame(solved, Detections.empty(), record(solved))
    sink.close(1, 0)
    assert "apt install astrometry-data" in caplog.text


def test_what_is_new_about_a_galaxy_is_a_row(solved, tmp_path, monkeypatch):
    """It is found, then expected; in another hour it is written again."""
    galaxies = [
        FieldGalaxy("A", 10.2, 22.5, 15.0, False, True), FieldGalaxy("A", 10.2, 22.5, 60.0, True, False),
        FieldGalaxy("A", 10.2, 22.5, 60.0, True, True), FieldGalaxy("A", 10.2, 22.5, 60.0, True, True),
    ]  # fmt: skip
    monkeypatch.setattr("galaxy_edge.sky.depth_meter.field_galaxies", lambda *_: [galaxies.pop(0)])
    sink = DepthSink(tmp_path, 3, RunMonitor())
    for count, minute in enumerate((0, 11, 22, 65), 1):
        frame = dataclasses.replace(solved, time=solved.time + datetime.timedelta(minutes=minute), number=minute)
        sink.frame(frame, Detections.empty(), record(frame))
        while len(sink.report()["rows"]) < count:
            time.sleep(0.005)
    sink.close(4, 0)
    rows = list(csv.DictReader((tmp_path / COMPLETENESS_FILE).read_text().splitlines()))
    assert [(row["time"][11:16], row["expected"], row["found"]) for row in rows] == [
        ("21:00", "0", "1"), ("21:11", "1", "0"), ("22:05", "1", "1"),
    ]  # fmt: skip
    assert {row["name"] for row in rows} == {"A"} and {row["run"] for row in rows} == {"3"}


@pytest.mark.parametrize(
    ("seconds", "frames", "moved", "measured"),
    [(10, 41, 0.0, 2), (1, 130, 0.0, 3), (300, 5, 0.0, 3), (10, 3, 1.0, 3), (0.1, 100, 0.0, 1)],
    ids=["short exposures", "video", "long exposures", "another field", "fast video"],
)
def test_how_often_frames_are_measured(solved, seconds, frames, moved, measured):
    """A measurement costs as much as a frame, and there is one for each field."""
    schedule = DepthSchedule()
    taken = [
        schedule.take(
            solved.time + datetime.timedelta(seconds=seconds * number),
            dataclasses.replace(solved.wcs, crval=(200.0 + moved * number, 20.0)),
        )
        for number in range(frames)
    ]
    assert sum(taken) == measured
