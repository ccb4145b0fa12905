"""The catalogued objects in the frames of a run are listed, detected or not."""

import datetime
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.runtime.events.field_table import FIELD_FILE, SITE_FILE, read_field
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.monitoring.field_sink import FieldSink
from galaxy_edge.runtime.monitoring.health import RunMonitor
from galaxy_edge.runtime.report.night import Place, place_of
from galaxy_edge.runtime.report.page import night_report
from galaxy_edge.sky.position import SkyPosition
from galaxy_edge.sky.wcs import Wcs
from helpers.sky_nights import sky_night

pytest.importorskip("pyongc", reason="needs the sky extra")
IRIS, M94 = (315.443, 68.126), (192.777, 41.117)
MOMENT = datetime.datetime(2026, 11, 22, 21, tzinfo=datetime.UTC)


def show(sink, centre, *names, minute=0, shift=0.0, header=None):
    """Give the sink a frame of a small telescope, with detections of these names."""
    cd = 2.375 / 3600 * np.diag([-1.0, -1.0])
    wcs = Wcs(centre, (540 + shift, 960), cd, 1080, 1920)
    time = MOMENT + datetime.timedelta(minutes=minute)
    frame = Frame(np.zeros((8, 8, 3), np.uint8), time, "a.fit", minute, wcs=wcs, header=header or {})
    found = [SimpleNamespace(sky=SkyPosition(*centre, object_name=name)) for name in names]
    sink.frame(frame, Detections.empty(), SimpleNamespace(time=time.isoformat(), detections=found))


def test_a_nebula_that_is_not_detected_is_named(tmp_path, caplog):
    caplog.set_level("INFO")
    monitor = RunMonitor()
    sink = FieldSink(tmp_path, 1, monitor)
    for minute in range(3):
        show(sink, IRIS, minute=minute, shift=minute)
    sink.close(3, 0)
    assert "known objects in the field: NGC 7023, reflection nebula (not detected)" in caplog.text
    assert monitor.known_objects() == ["NGC 7023, reflection nebula (not detected)"]
    (nebula,) = read_field(tmp_path)
    assert (nebula.name, nebula.kind, nebula.detected) == ("NGC 7023", "reflection nebula", False)
    assert len((tmp_path / FIELD_FILE).read_text().splitlines()) == 2  # the sky hardly moved


def test_detections_slews_and_hours_are_rows(tmp_path):
    """An object is detected later, in another field, and in another hour."""
    sink = FieldSink(tmp_path, 1, RunMonitor())
    show(sink, IRIS)
    show(sink, M94, minute=1)
    show(sink, M94, "M 94", minute=2)
    show(sink, M94, "M 94", minute=3)
    show(sink, M94, "M 94", minute=61)
    sink.close(5, 0)
    found = {item.name: item.detected for item in read_field(tmp_path)}
    assert found["M 94"] and not found["NGC 7023"]
    rows = [line.split(",") for line in (tmp_path / FIELD_FILE).read_text().splitlines() if ",M 94," in line]
    assert [(row[0][11:16], row[-1]) for row in rows] == [("21:01", "0"), ("21:02", "1"), ("22:01", "1")]
    assert not read_field(tmp_path, until="2026-11-22T21:00")


def test_the_report_and_the_list_of_objects_name_the_field(tmp_path):
    """M 94 was detected; a damaged line is left out."""
    folder = sky_night(tmp_path / "out")
    sink = FieldSink(folder, 1, RunMonitor())
    show(sink, IRIS)
    show(sink, M94, "M 94", minute=1)
    sink.close(2, 0)
    with (folder / FIELD_FILE).open("a") as table:
        table.write("2026-11-22T21:09:00,1,M 13,globular clu")
    _, page = night_report(folder)
    assert "Known objects in the field" in page and "NGC 7023, reflection nebula (not detected)" in page
    assert "M 13" not in page
    answer = CliRunner().invoke(cli, ["events", "objects", "--in", str(folder)])
    assert "in the field: M 94; NGC 7023, reflection nebula (not detected)" in answer.output
    answer = CliRunner().invoke(cli, ["events", "objects", "--in", str(folder), "--near", "315.4 68.17"])
    assert "in the field: NGC 7023" in answer.output and "M 94;" not in answer.output


def test_the_place_of_headers_gives_altitudes(tmp_path):
    """The option's place comes before it; the map of the whole sky needs none."""
    folder = sky_night(tmp_path / "out")
    _, page = night_report(folder)
    assert "The place of the telescope is not known" in page and "on the whole sky" in page
    sink = FieldSink(folder, 1, RunMonitor())
    show(sink, M94, header={"SITELAT": 45.0, "SITELONG": 10.0})
    show(sink, IRIS, minute=1, header={"SITELAT": 45.0, "SITELONG": 10.0})
    sink.close(2, 0)
    assert len((folder / SITE_FILE).read_text().splitlines()) == 2
    with (folder / SITE_FILE).open("a") as table:
        table.write("2026-11-22T21:09:00,1,45")
    assert place_of(folder) == Place(45.0, 10.0)
    _, page = night_report(folder)
    assert "in degrees, over UTC" in page and "is not known" not in page


def test_frames_without_a_position_cost_nothing(tmp_path):
    sink = FieldSink(tmp_path, 1, RunMonitor())
    frame = Frame(np.zeros((8, 8, 3), np.uint8), MOMENT, "a.fit", 0)
    sink.frame(frame, Detections.empty(), SimpleNamespace(time=MOMENT.isoformat(), detections=[]))
    sink.close(1, 0)
    assert not list(tmp_path.iterdir())
