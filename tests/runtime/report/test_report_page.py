"""The report of a night: its content, damaged inputs, its layout on a phone."""

import json
import shutil
import sqlite3
import struct
from contextlib import closing

import numpy as np
import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.report.frame_logs import read_frame_logs
from galaxy_edge.runtime.report.gallery import crop_uri
from galaxy_edge.runtime.report.page import night_report
from helpers.command_line import galaxy_edge_in_process
from helpers.images import encode
from helpers.sky_nights import sky_night
from helpers.tracks import frame, iso, named, output, record, track

DAY = 86_400


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A run with two objects in one night and one object in the next."""
    folder = tmp_path_factory.mktemp("night")
    out = output(folder)
    for second in (0, 1, 2, 600, DAY):
        out.frame(frame(second), named(), record(second))
    out.events([track(1, 0, 2, ended=True), track(2, 1, 600, ended=True), track(3, DAY, ended=True)])
    out.close(5, 1)
    return folder


def test_the_latest_night_is_the_default(night):
    found, page = night_report(night)
    assert found.name == "2026-11-23" and "<dt>objects</dt><dd>1<" in page and "<dt>frames</dt><dd>1<" in page


def test_a_night_is_named_by_its_evening_and_has_its_events_only(night):
    _, page = night_report(night, "2026-11-22")
    assert "<dt>objects</dt><dd>2<" in page and "<dt>frames</dt><dd>4<" in page
    assert page.count("data:image/jpeg;base64,") == 2 and "-00003" not in page
    assert "2026-11-22 21:00 to 2026-11-22 21:10 UTC" in page


def test_faults_of_the_night_are_listed(night):
    _, page = night_report(night, "2026-11-22")
    assert "no frames from 21:00:02 to 21:10:00 UTC" in page and "1 images could not be read" in page


def test_the_page_loads_nothing(night):
    _, page = night_report(night)
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")


def test_names_are_text(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.tracks.CLASSES", ("smooth", "<b onload=x>\u202e"))
    out = output(tmp_path)
    out.events([track(1, ended=True)])
    out.close(0, 0)
    _, page = night_report(tmp_path)
    assert "<b onload" not in page and "\u202e" not in page and "&lt;b onload" in page


def test_nebulae_are_objects_and_duplicates_are_nothing(tmp_path):
    """Neither is an artefact."""
    sky_night(tmp_path)
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as base, base:
        nebula = "object_kind = 'reflection nebula', object_name = 'NGC 7023', kind = 'reflection nebula'"
        base.execute(f"UPDATE event SET {nebula} WHERE number = 3")
        base.execute("UPDATE event SET kind = 'duplicate' WHERE number = 2")
    _, page = night_report(tmp_path)
    assert "NGC 7023" in page and "reflection nebula" in page and "Artefacts, which" not in page
    assert "<dt>artefacts</dt><dd>0<" in page and "<dt>objects</dt><dd>3<" in page


def test_a_folder_without_logs_and_crops_still_has_a_report(tmp_path):
    """The quota deletes crops and logs; events stay."""
    out = output(tmp_path)
    out.frame(frame(0), named(), record(0))
    out.events([track(1, 0, ended=True)])
    out.close(1, 0)
    shutil.rmtree(tmp_path / "crops")
    (tmp_path / "frames-0001.jsonl").unlink()
    _, page = night_report(tmp_path)
    assert "no image" in page and "<dt>objects</dt><dd>1<" in page


def test_damaged_lines_and_crops_are_left_out(tmp_path):
    out = output(tmp_path)
    out.frame(frame(0), named(), record(0))
    out.events([track(1, 0, ended=True)])
    out.close(1, 0)
    next(tmp_path.glob("crops/0001/*.png")).write_bytes(b"\x89PNG damaged")
    with (tmp_path / "frames-0001.jsonl").open("a") as log:
        log.write(f'{{"frame": 1, "source": "sky", "time": "{iso(1)}", "dete\n\0\0\0\n')
    _, page = night_report(tmp_path)
    assert "no image" in page and "<dt>objects</dt><dd>1<" in page


@pytest.mark.parametrize(
    "change",
    [
        {"time": iso(1) + "x"}, {"time": "2026-02-30T00:00:00Z"}, {"time": iso(1)[:-1]}, {"time": 5},
        {"stretch": "x"}, {"stretch": {"sky": ["x"], "noise": [None]}}, {"stretch": {"sky": [float("nan")]}},
        {"lost": [1]}, {"lost": {"events": "x"}}, {"clock_step": "x"}, {"detections": 5},
    ],
)  # fmt: skip
def test_a_flipped_bit_in_a_log_costs_its_line_and_not_the_report(night, tmp_path, change):
    folder = shutil.copytree(night, tmp_path / "night")
    line = json.dumps({"frame": 1, "source": "sky", "time": iso(1)} | change)
    (folder / "frames-0009.jsonl").write_text(f"{line}\n")  # the last log, whose last time names the night
    assert "<dt>objects</dt><dd>" in night_report(folder, "2026-11-22")[1]
    assert night_report(folder)[0].name >= "2026-11-22"


def test_a_night_outside_the_calendar_is_refused(night):
    with pytest.raises(UsageError, match="is not a night"):
        night_report(night, "0001-01-01")


def test_only_a_sample_of_a_long_log_is_decoded(tmp_path, monkeypatch):
    """All frames are counted, and losses and clock steps found."""
    monkeypatch.setattr("galaxy_edge.runtime.report.frame_logs.SAMPLED_BYTES", 2000)
    lines = [{"frame": n, "source": '"time": "x', "time": iso(n), "detections": []} for n in range(1000)]
    lines[501]["clock_step"], lines[502]["lost"] = -30.0, {"events": 2}
    (tmp_path / "frames-0001.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    frames = read_frame_logs(tmp_path, iso(0), iso(DAY))
    assert frames.count == 1000 and 10 < len(frames.samples) < 60
    assert frames.lost == {"events": 2} and frames.clock_steps == [-30.0]


def test_a_night_without_anything_names_the_last_one(night):
    with pytest.raises(UsageError, match=r"nothing of the night 2020-01-01; the last one is 2026-11-23"):
        night_report(night, "2020-01-01")


def test_the_command_writes_the_page_into_the_folder(night):
    done = galaxy_edge_in_process("report", "2026-11-22", "--in", night)
    assert done.returncode == 0, done.stderr
    assert (night / "report-2026-11-22.html").read_text().startswith("<!doctype html>")
    done = galaxy_edge_in_process("report", "yesterday", "--in", night)
    assert done.returncode == 2 and "use the date of its evening" in done.stderr


def test_the_page_fits_a_phone_and_is_dark_and_printable(night):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium (apt install chromium)")
    path = night / "phone.html"
    path.write_text(night_report(night, "2026-11-22")[1])
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True).new_page()
        errors = []
        page.on("console", lambda message: errors.append(message.text))
        page.goto(path.as_uri())
        background = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        assert page.evaluate(background) == "rgb(11, 13, 18)"
        page.emulate_media(media="print")
        assert page.evaluate(background) == "rgb(255, 255, 255)"
        browser.close()
    assert errors == []


def test_a_crop_that_claims_more_pixels_than_memory_is_left_out(tmp_path):
    """A PNG's header may claim any size; the decoder would reserve all of it."""
    (folder := tmp_path / "crops/0001").mkdir(parents=True)
    content = encode(np.full((9, 12, 3), 99, np.uint8))  # smaller than any image that is decoded elsewhere
    (folder / "1.png").write_bytes(content)
    (folder / "2.png").write_bytes(content[:16] + struct.pack(">II", 30_000, 30_000) + content[24:])
    (folder / "3.png").write_bytes(content[:20])
    assert crop_uri(tmp_path, "crops/0001/1.png").startswith("data:image/jpeg")
    assert [crop_uri(tmp_path, f"crops/0001/{number}.png") for number in (2, 3)] == ["", ""]
