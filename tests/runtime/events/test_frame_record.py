"""The record of a frame says whether a class is more than a guess.

This needs a classifier with a threshold.
"""

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
    return frame_record(frame, named, ("smooth_round", "spiral_loose"), {"detect": 1.0}, abstain).to_dict()


def test_classes_below_the_threshold_are_marked():
    """Scripts filter on the key."""
    line = record(0.6)
    jsonschema.validate(line, SCHEMA)
    assert [detection["sure"] for detection in line["detections"]] == [True, False]


def test_key_is_absent_without_a_threshold():
    """False would claim that the class is a guess."""
    line = record(None)
    jsonschema.validate(line, SCHEMA)
    assert all("sure" not in detection for detection in line["detections"])


def test_keys_and_their_order_are_fixed():
    """The JSON lines are a public contract, down to the bytes."""
    assert json.dumps(record(0.6)["detections"][0]) == (
        '{"box": [1.0, 2.0, 20.0, 22.0], "score": 0.9, "class": "smooth_round", "probability": 0.7, "sure": true, '
        '"probabilities": {"smooth_round": 0.7, "spiral_loose": 0.3}}'
    )
    assert list(record(None)) == ["frame", "source", "time", "width", "height", "detections", "ms"]
