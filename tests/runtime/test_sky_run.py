"""Runs on frames whose headers give their position on the sky: no solver."""

import csv
import json

import jsonschema
import numpy as np
import pytest
from galaxy_edge.runtime.events.queries import Query, query_events
from galaxy_edge.runtime.session import RunConfig, Session
from helpers.schema import FRAME_SCHEMA
from helpers.sky_frames import frame_of, write_fits

pytest.importorskip("astropy", reason="needs the sky extra")
pytest.importorskip("pyongc", reason="needs the sky extra")

WINDOWS = (150, 430, 230), (470, 420, 240), (450, 100, 240)


def run(source, out, **options):
    """Run over images; return the events of this run and the lines of its log."""
    session = Session(RunConfig(source=str(source), out=out, min_score=0.25, **options))
    stats = session.run()
    assert stats.failure is None and stats.bad_pictures == 0
    lines = (out / f"frames-{session.output.info.number:04d}.jsonl").read_text().splitlines()
    return query_events(out, Query(run=session.output.info.number)), [json.loads(line) for line in lines], stats


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Three fields, each twice, the second time turned by a meridian flip."""
    folder = tmp_path_factory.mktemp("night")
    for number, (turn, window) in enumerate((turn, window) for turn in (0, 180) for window in WINDOWS):
        write_fits(folder / f"{number}.fits", *frame_of(window, turn))
    return folder, *run(folder, folder / "out")


def test_an_object_is_one_event_across_slews_and_a_meridian_flip(night):
    """The images do not follow from each other: only the sky joins them."""
    _, events, lines, stats = night
    detected = [detection["sky"] for line in lines for detection in line["detections"]]
    assert len(lines) == 6 and len(detected) > len(events) > 3
    assert sum(event.frames for event in events) == len(detected)
    twice = [event for event in events if event.frames == 2]
    assert len(twice) >= 8
    ids = [event.sky.object_id for event in events]
    assert len(set(ids)) >= len(ids) - 1 and len(ids) == stats.events  # one frame has two boxes on one object
    assert all(name.startswith("J0") for name in ids)
    for event in twice:
        assert event.first_frame < 3 <= event.last_frame and event.crop


def test_frames_and_events_say_where_their_objects_are(night):
    _, events, lines, _ = night
    for line in lines:
        jsonschema.validate(line, FRAME_SCHEMA)
    for event in events:
        assert abs(event.sky.ra - 60.0) < 1 and abs(event.sky.dec - 55.0) < 0.5
        assert event.sky.sky_note.startswith("nothing catalogued within") and event.kind == "object"


def test_another_night_with_another_telescope_and_a_users_table(night, tmp_path):
    """A telescope of less focal length, turned: objects keep their ids.

    The table names one of them; its name is in the frame's record, on the event and in the summary, and the id stays.
    """
    folder, events, _, _ = night
    known = max(events, key=lambda event: event.score)
    table = folder / "mine.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["name", "ra_deg", "dec_deg", "kind"], ["My galaxy", known.sky.ra, known.sky.dec, "galaxy"]]
        )
    second = folder / "second"
    second.mkdir()
    for number, window in enumerate(WINDOWS):
        write_fits(second / f"{number}.fits", *frame_of(window, turn=75, zoom=0.8), time="2026-11-23T21:00:00")
    later, lines, stats = run(second, folder / "out", catalogue=table)
    ids = {event.sky.object_id for event in events}
    same = [event for event in later if event.sky.object_id in ids]
    assert len(same) >= 3
    (named,) = [event for event in later if event.sky.object_name == "My galaxy"]
    assert named.sky.object_id == known.sky.object_id and stats.classes["My galaxy"] == 1
    names = [found["sky"].get("object_name") for line in lines for found in line["detections"]]
    assert "My galaxy" in names


def test_a_nebula_is_an_event_of_its_kind_and_no_galaxy(night, tmp_path):
    """The table says what the detector cannot know."""
    _, events, _, _ = night
    known = max(events, key=lambda event: event.score)
    table = tmp_path / "mine.csv"
    table.write_text(f"name,ra_deg,dec_deg,kind\nMy cloud,{known.sky.ra},{known.sky.dec},reflection nebula\n")
    for window in WINDOWS:
        write_fits(tmp_path / f"{window[0]}.fits", *frame_of(window))
    found, _, stats = run(tmp_path, tmp_path / "out", catalogue=table)
    (cloud,) = [event for event in found if event.sky.object_name == "My cloud"]
    assert cloud.kind == "reflection nebula"
    assert stats.events == len(found) - 1 and stats.not_galaxies == {"My cloud, reflection nebula"}


def test_frames_without_a_position_are_as_before(tmp_path):
    """A header whose projection is not supported, and one without a WCS."""
    pixels, wcs = frame_of(WINDOWS[0])
    write_fits(tmp_path / "a.fits", pixels)
    write_fits(tmp_path / "b.fits", pixels, None, CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN", CRVAL1=1.0, CRVAL2="x")
    events, lines, stats = run(tmp_path, tmp_path / "out")
    assert len(lines) == 2 and stats.events == len(events) > 0
    assert all(event.sky is None or not event.sky.is_known for event in events)
    assert np.isfinite(wcs.scale)
