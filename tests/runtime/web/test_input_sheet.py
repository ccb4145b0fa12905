"""What the network is given, as the live page shows it."""

import cv2
import numpy as np
import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.frame import Detections
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.web.input_sheet import GAP, input_sheet


def test_sheet_shows_every_input_unchanged_and_boxes_where_they_are():
    """The pixels are those that `--save-input` writes."""
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector"), "detect"))
    pixels = np.random.default_rng(1).integers(0, 255, (600, 900, 3)).astype(np.uint8)
    side = detector.bundle.input_size[0]
    views = np.array([[0, 0, 900, 600], [400, 200, 400 + side, 200 + side]])
    inputs = [detector.preprocess(pixels[y0:y1, x0:x1]) for x0, y0, x1, y1 in views]
    boxes = np.array([[450, 250, 500, 300], [10, 20, 100, 80]], np.float32)
    detections = Detections(boxes, np.array([0.9, 0.8], np.float32), np.eye(2, dtype=np.float32))
    sheet, shown = input_sheet(views, inputs, detections)
    assert sheet.shape == (side, 2 * side + GAP, 3)
    for number, model_input in enumerate(inputs):
        left = number * (side + GAP)
        assert np.array_equal(sheet[:, left : left + side], model_input.batch[0])
    assert len(shown) == 3 and shown.probabilities.argmax(axis=1).tolist() == [0, 1, 0]
    assert np.allclose(shown.boxes[0], boxes[0] * side / 900, atol=0.2)
    left = side + GAP
    assert np.allclose(shown.boxes[2], [left + 50, 50, left + 100, 100])


def test_api_switches_the_image(live):
    """The API can switch it like the page; the other controls stay."""
    pytest.importorskip("fastapi", reason="needs the serve extra")
    assert live.json("/api/controls", {"show_inputs": True})["show_inputs"]

    def shape():
        return cv2.imdecode(np.frombuffer(live.ask("/frame.jpg")[2], np.uint8), cv2.IMREAD_COLOR).shape

    width, height = Bundle.load(shipped_bundle_path("galaxy-detector"), "detect").input_size
    live.until(lambda: shape() == (height, width, 3))
    assert not live.json("/api/controls", {"show_inputs": False})["show_inputs"]
    live.until(lambda: shape() == (480, 640, 3))
