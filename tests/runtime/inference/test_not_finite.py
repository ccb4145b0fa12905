"""Values that are not finite are refused where a network returns them.

They never reach a track or the event file.
"""

import numpy as np
import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.frame import Detections
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.inference.engine import RawTensor


def test_galaxies_whose_class_is_not_finite_are_left_out(caplog):
    """Three of them kept 371 events from being stored."""
    classifier = Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier")))
    engine = classifier.engine

    def fails_on_dark(batch):
        logits = engine(batch)["logits"].dequantize()
        return {"logits": RawTensor(logits if batch.max() else np.full_like(logits, np.nan), 0.0, 0)}

    classifier.engine = fails_on_dark
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40:60, 40:60] = 200
    boxes = np.array([[30, 30, 70, 70], [130, 30, 170, 70]], np.float32)
    for _ in range(2):
        named = classifier(pixels, Detections(boxes, np.array([0.9, 0.8], np.float32)))
        assert named.boxes.tolist() == boxes[:1].tolist() and np.isfinite(named.probabilities).all()
    assert len(caplog.messages) == 1 and "not finite for 1 of 2 galaxies" in caplog.messages[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("output", ["boxes", "scores"])
def test_boxes_that_are_not_finite_are_left_out(output, value, caplog):
    """An infinite score was a certain galaxy, an infinite box the whole frame."""
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))
    engine = detector.engine
    image = next(image for image in detector.bundle.golden()["inputs"] if len(detector(image)))

    def returns_no_number(batch):
        raw = {name: tensor.dequantize() for name, tensor in engine(batch).items()}
        best = int(raw["scores"].argmax())
        raw[output][best] = value
        return {name: RawTensor(values, 0.0, 0) for name, values in raw.items()}

    detector.engine = returns_no_number
    for _ in range(2):
        found = detector(image)
    assert np.isfinite(found.scores).all() and (found.scores < 1.0).all()
    assert not any(box.tolist() == [0, 0, image.shape[1], image.shape[0]] for box in found.boxes)
    assert len(caplog.messages) == 1 and "not finite for 1 of" in caplog.messages[0]
