"""Check detector and classifier with a tiny network.

Its outputs can be worked out by hand.
"""

import numpy as np
import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.decode import anchors_from_manifest, decode_boxes
from galaxy_edge.models.preprocess import ImagePyramid
from galaxy_edge.runtime.frame import Detections
from galaxy_edge.runtime.imaging.sky_motion import grey_thumbnail
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.inference.engine import RawTensor
from galaxy_edge.runtime.inference.load import load_engine
from galaxy_edge.training.detector.anchor_matching import decode_detections
from helpers.images import render


@pytest.fixture(scope="module")
def detector(tiny_models):
    return Detector(Bundle.load(tiny_models / "galaxy-detector"), min_score=0.5)


@pytest.fixture(scope="module")
def classifier(tiny_models):
    return Classifier(Bundle.load(tiny_models / "galaxy-classifier"))


def bright_cell(row, column, level=250, scale=1):
    """Draw a 64x64 image (times `scale`) with one bright cell at an anchor."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = level
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def test_detection_is_the_anchor_around_the_bright_cell(detector):
    found = detector(bright_cell(2, 5))
    assert found.boxes.tolist() == [[36, 12, 52, 28]]  # the 16 pixel anchor around the cell at 40..48, 16..24
    assert found.scores[0] > 0.99


@pytest.mark.parametrize("scale", [2, 4, 7])
def test_boxes_are_in_frame_pixels_at_every_frame_size(detector, scale):
    found = detector(bright_cell(2, 5, scale=scale))
    assert found.boxes[0] == pytest.approx(np.array([36, 12, 52, 28]) * scale, abs=0.01)


def test_boxes_of_a_wide_frame_are_scaled_by_its_longer_side(detector):
    wide = np.zeros((32, 128, 3), np.uint8)  # enters the network as 64x16
    wide[0:16, 64:80] = 250
    assert detector(wide).boxes.tolist() == [[56, 0, 88, 24]]  # clipped at the frame's top


def test_boxes_are_clipped_to_the_frame(detector):
    (box,) = detector(bright_cell(0, 7)).boxes
    assert box.tolist() == [52, 0, 64, 12]


def test_dark_frame_gives_no_detections(detector):
    assert len(detector(np.zeros((64, 64, 3), np.uint8))) == 0


def test_threshold_on_int8_logits_selects_what_dequantised_scores_select(tiny_models):
    """The decoder compares raw int8 values for speed.

    The selection must not differ by a single box.
    """
    bundle = Bundle.load(tiny_models / "galaxy-detector")
    rng = np.random.default_rng(5)
    image = np.kron(rng.integers(0, 256, (8, 8)), np.ones((8, 8))).astype(np.uint8)[..., None].repeat(3, axis=2)
    unfiltered = Detector(bundle, min_score=0.0)
    model_input = unfiltered.preprocess(image)
    scores = 1 / (1 + np.exp(-unfiltered.infer(model_input)["scores"].dequantize()))
    for threshold in (0.05, 0.3, 0.5, 0.73, 0.95):
        raw = Detector(bundle, min_score=threshold).infer(model_input)["scores"]
        selected = raw.values >= raw.threshold(float(np.log(threshold / (1 - threshold))))
        assert np.array_equal(selected, scores >= threshold)


def test_overlapping_boxes_are_reduced_to_the_best_one(detector):
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:24, 40:48], image[16:24, 48:56] = 250, 200  # anchors 8 pixels apart overlap by a third
    assert len(detector(image)) == 2
    close_scores = RawTensor(np.array([50, 40], np.int8), 0.1, 0)
    raw = {"scores": close_scores, "boxes": RawTensor(np.array([[0, 0, 0, 0], [0, -5, 0, 0]], np.float32), 0.0, 0)}
    model_input = detector.preprocess(image)
    assert len(detector.decode(raw, model_input)) == 1  # shifted by half, the second is the same object


def test_a_run_averages_overlapping_boxes_as_training_does():
    """The shipped detector, at its threshold, on the images that come with it."""
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector"))
    detector, moved = Detector(bundle), 0
    anchors = anchors_from_manifest(bundle.manifest.detector_decode.anchors, *bundle.input_size)
    for image in bundle.golden()["inputs"]:
        model_input = detector.preprocess(image)
        raw = detector.infer(model_input)
        found = detector.decode(raw, model_input)
        deltas, logits = raw["boxes"].dequantize().reshape(-1, 4), raw["scores"].dequantize().ravel()
        boxes, scores = decode_detections(deltas, logits, anchors, detector.min_score)
        size = bundle.input_size[0]
        inside = (boxes >= 0).all(axis=1) & (boxes <= size).all(axis=1)  # a run clips boxes before it averages them
        assert found.scores == pytest.approx(scores, abs=1e-5)
        assert found.boxes[inside] == pytest.approx(boxes[inside], abs=0.01)
        single = decode_boxes(deltas, anchors)[np.argsort(-logits, kind="stable")]
        moved += sum(np.abs(single - box).max(axis=1).min() > 0.01 for box in found.boxes)
    assert moved, "no box is an average"


def test_float_and_int8_variants_agree(tiny_models):
    bundle = Bundle.load(tiny_models / "galaxy-detector")
    image = render([(20, 20, 8), (50, 44, 6)], 64, 64)
    float_detections, int8_detections = (
        Detector(bundle, variant, min_score=0.3)(image) for variant in ("fp32", "int8")
    )
    assert float_detections.boxes == pytest.approx(int8_detections.boxes, abs=0.5)
    assert float_detections.scores == pytest.approx(int8_detections.scores, abs=0.05)


def test_classifier_uses_the_crop_of_each_box(classifier):
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, :100], image[:, 100:] = 28 * 2, 28 * 6
    boxes = np.array([[30, 30, 60, 60], [130, 30, 160, 60]], np.float32)
    crops = np.stack([classifier.crop(image, box) for box in boxes])
    assert classifier.probabilities(crops).argmax(axis=1).tolist() == [2, 6]
    classified = classifier(image, Detections(boxes, np.ones(2, np.float32)))
    assert classified.probabilities.sum(axis=1) == pytest.approx([1, 1])


def test_a_run_reports_what_an_evaluation_measures(classifier):
    """The tiny classifier has no domain: no crop is doubted."""
    crops = np.random.default_rng(1).integers(0, 255, (3, 16, 16, 3)).astype(np.uint8)
    assert np.array_equal(classifier.doubted_probabilities(crops), classifier.probabilities(crops))
    assert classifier.doubted_probabilities(crops[:0]).shape == (0, len(classifier.classes))


def test_classifier_accepts_frames_without_detections(classifier):
    classified = classifier(np.zeros((50, 50, 3), np.uint8), Detections.empty())
    assert classified.probabilities.shape == (0, 9)


def test_thread_count_does_not_change_the_result(tiny_models):
    bundle = Bundle.load(tiny_models / "galaxy-detector")
    batch = bright_cell(3, 3)[None]
    single_thread, two_threads = (load_engine(bundle, threads=threads)(batch) for threads in (1, 2))
    assert all(np.array_equal(single_thread[name].values, two_threads[name].values) for name in single_thread)


def test_unknown_engine_and_zero_threads_are_refused(tiny_models):
    bundle = Bundle.load(tiny_models / "galaxy-detector")
    with pytest.raises(UsageError, match="unknown engine 'coral'"):
        load_engine(bundle, engine="coral")
    with pytest.raises(UsageError, match="at least 1"):
        load_engine(bundle, threads=0)


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (642, 480), (641, 481), (100, 90), (3840, 2160)])
def test_sharing_the_image_pyramid_does_not_change_the_model_input(size):
    """The pipeline halves a frame once, for motion estimation and for the network.

    Motion comes first.
    """
    # The loop halves a frame once, for the look at its motion and for the network; the motion looks first.
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))
    image = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    pyramid = ImagePyramid(image)
    grey_thumbnail(pyramid)
    from_image, from_pyramid = detector.preprocess(image), detector.preprocess(pyramid)
    assert np.array_equal(from_image.batch, from_pyramid.batch) and from_image[1:] == from_pyramid[1:]
