"""A line of output says whether a name is more than a guess, where the classifier knows that of itself."""

import datetime
import json
from importlib import resources

import jsonschema
import numpy as np
from galaxy_edge.runtime.events.frame_record import frame_record
from galaxy_edge.runtime.frame import Detections, Frame

SCHEMA = json.loads((resources.files("galaxy_edge.runtime.events") / "frame.schema.json").read_text())


def record(abstain):
    frame = Frame(np.zeros((40, 60, 3), np.uint8), datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC), "x.png", 0)
    boxes = np.array([[1, 2, 20, 22], [30, 5, 50, 30]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8], np.float32))
    named = found.with_probabilities(np.array([[0.7, 0.3], [0.45, 0.55]], np.float32))
    return frame_record(frame, named, ("smooth_round", "spiral_loose"), {"detect": 1.0}, abstain)


def test_names_below_the_threshold_are_marked():
    line = record(0.6)
    jsonschema.validate(line, SCHEMA)
    assert [one["sure"] for one in line["detections"]] == [True, False]


def test_a_classifier_without_a_threshold_says_nothing_of_it():
    line = record(None)
    jsonschema.validate(line, SCHEMA)
    assert all("sure" not in one for one in line["detections"])
