"""A galaxy of unsure class but sure group is called by its group everywhere.

The class is a guess; the group is the coarse one.
"""

import csv
import datetime
import io
import json

import numpy as np
import pytest
from galaxy_edge.models.labels import CLASSES, coarse_group
from galaxy_edge.models.naming import GROUP_LABELS, UNCERTAIN
from galaxy_edge.runtime.events.event import RunInfo, events_from_tracks
from galaxy_edge.runtime.events.event_row import as_csv
from galaxy_edge.runtime.events.frame_record import display_label, frame_record
from galaxy_edge.runtime.events.queries import Query, query_events
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.monitoring.live_table import LiveTable
from galaxy_edge.runtime.monitoring.run_stats import RunStats
from galaxy_edge.runtime.mqtt.discovery import discovery_messages
from galaxy_edge.runtime.recording.annotate import COLOURS, annotate
from galaxy_edge.runtime.recording.fits_writer import event_cards
from galaxy_edge.runtime.recording.output_folder import OutputFolder
from helpers.command_line import galaxy_edge_in_process
from helpers.tracks import ABOUT, FAST, track

ABSTAIN = 0.75


def spread_over(group):
    """Return probabilities (9,) with 0.9 spread evenly over the classes of `group`."""
    members = np.array([coarse_group(name) == group for name in CLASSES])
    return np.where(members, 0.9 / members.sum(), 0.1 / (~members).sum()).astype(np.float32)


def output(folder):
    """Return an output folder of a run with the nine classes."""
    return OutputFolder(folder, ABOUT, CLASSES, video=False, floor=0, limits=FAST, abstain=ABSTAIN)


def event_of(group):
    """Return a confirmed track of a galaxy of which only the group is sure."""
    found = track(1, 0, 4, ended=True)
    found.seen = spread_over(group).astype(np.float64) * found.frames
    return found


@pytest.mark.parametrize("group", ["spiral", "smooth", "edge_on"])
def test_frames_and_images_name_the_group(group, capsys):
    """JSON lines, boxes on frames, contact sheets and videos, and the live table."""
    frame = Frame(np.zeros((240, 320, 3), np.uint8), datetime.datetime.now(datetime.UTC), "sky", 0)
    found = Detections(np.array([[60, 60, 200, 160]], np.float32), np.ones(1, np.float32), spread_over(group)[None])
    line = frame_record(frame, found, CLASSES, {}, ABSTAIN)
    detection = line.to_dict()["detections"][0]
    assert detection["sure"] is False and detection["group"] == group
    assert display_label(spread_over(group), CLASSES, ABSTAIN) == GROUP_LABELS[group]
    drawn = annotate(frame.pixels, found, CLASSES, ABSTAIN)
    assert drawn[58:63, 130].max(axis=0) == pytest.approx(COLOURS[group], abs=40)  # the line is smoothed
    with LiveTable(1, err=False) as table:
        table.update(frame, found, line, RunStats())
        assert GROUP_LABELS[group] in [cell for row in table._recent for cell in row]
    capsys.readouterr()


def test_events_name_the_group(tmp_path):
    """Tables, JSON and CSV of the command line, MQTT and FITS."""
    out = output(tmp_path)
    out.events([event_of("spiral")])
    out.close(5, 0)
    (row,) = query_events(tmp_path, Query())
    assert row.to_dict()["group"] == "spiral"
    assert next(csv.DictReader(io.StringIO(as_csv([row]))))["group"] == "spiral"
    assert "spiral galaxy" in galaxy_edge_in_process("events", "list", "--in", tmp_path).stdout
    assert "group: spiral" in galaxy_edge_in_process("events", "show", "--in", tmp_path, row.id).stdout
    (event,) = events_from_tracks([event_of("spiral")], RunInfo(1, "0123abcd", CLASSES, ABSTAIN))
    assert event.to_dict()["group"] == "spiral" and event_cards(event)["NAME"][0] == "spiral galaxy"


def test_home_assistant_shows_the_name_of_the_last_galaxy():
    """Its state is the name for display.

    Messages that were stored before an update have only the class.
    """
    (content,) = [content for topic, content in discovery_messages("homeassistant", "sky") if "last_event" in topic]
    assert content["value_template"] == "{{ value_json.name | default(value_json['class']) }}"


def test_uncertain_galaxy_is_not_named(tmp_path):
    """If the group is not sure either, it is left out; in CSV the field is empty."""
    out = output(tmp_path)
    found = track(1, 0, 4, ended=True)
    found.seen = np.full(9, found.frames / 9)
    out.events([found])
    out.close(5, 0)
    (row,) = query_events(tmp_path, Query())
    assert "group" not in row.to_dict() and next(csv.DictReader(io.StringIO(as_csv([row]))))["group"] == ""
    assert json.loads(galaxy_edge_in_process("events", "list", "--in", tmp_path, "--format", "json").stdout)
    assert display_label(found.probabilities, CLASSES, ABSTAIN) == UNCERTAIN
