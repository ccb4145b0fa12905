"""Detector and classifier on a network whose answers can be worked out by hand."""

import numpy as np
import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.levels import normalise_levels
from galaxy_edge.models.preprocess import ImagePyramid
from galaxy_edge.runtime.frame import Detections
from galaxy_edge.runtime.imaging.sky_motion import grey_thumbnail
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.inference.engine import RawTensor
from galaxy_edge.runtime.inference.load import load_engine
from helpers.images import render


@pytest.fixture(scope="module")
def detector(tiny_models):
    return Detector(Bundle.load(tiny_models / "galaxy-detector"), min_score=0.5)


@pytest.fixture(scope="module")
def classifier(tiny_models):
    return Classifier(Bundle.load(tiny_models / "galaxy-classifier"))


def cell(row, column, level=250, scale=1):
    """A 64x64 picture (times `scale`) whose one bright cell the detector's anchor sits on."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = level
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def test_box_sits_on_the_bright_cell(detector):
    found = detector(cell(2, 5))
    assert found.boxes.tolist() == [[36, 12, 52, 28]]  # the 16 pixel anchor around the cell at 40..48, 16..24
    assert found.scores[0] > 0.99


@pytest.mark.parametrize("scale", [2, 4, 7])
def test_boxes_are_in_pixels_of_the_frame_whatever_its_size(detector, scale):
    found = detector(cell(2, 5, scale=scale))
    assert found.boxes[0] == pytest.approx(np.array([36, 12, 52, 28]) * scale, abs=0.01)


def test_boxes_of_a_wide_frame_are_scaled_by_its_longer_side(detector):
    wide = np.zeros((32, 128, 3), np.uint8)  # enters the network as 64x16
    wide[0:16, 64:80] = 250
    assert detector(wide).boxes.tolist() == [[56, 0, 88, 24]]  # clipped at the frame's top


def test_boxes_are_clipped_to_the_frame(detector):
    (box,) = detector(cell(0, 7)).boxes
    assert box.tolist() == [52, 0, 64, 12]


def test_dark_sky_gives_nothing(detector):
    assert len(detector(np.zeros((64, 64, 3), np.uint8))) == 0


def test_min_score_cuts_in_raw_values_as_it_would_in_real_ones(tiny_models):
    # Comparing int8 logits with a raw floor must select exactly what comparing dequantised scores does.
    bundle = Bundle.load(tiny_models / "galaxy-detector")
    rng = np.random.default_rng(5)
    picture = np.kron(rng.integers(0, 256, (8, 8)), np.ones((8, 8))).astype(np.uint8)[..., None].repeat(3, axis=2)
    everything = Detector(bundle, min_score=0.0)
    fitted = everything.preprocess(picture)
    real = 1 / (1 + np.exp(-everything.infer(fitted)["scores"].dequantize()))
    for floor in (0.05, 0.3, 0.5, 0.73, 0.95):
        raw = Detector(bundle, min_score=floor).infer(fitted)["scores"]
        chosen = raw.values >= raw.threshold(float(np.log(floor / (1 - floor))))
        assert np.array_equal(chosen, real >= floor)


def test_overlapping_boxes_are_reduced_to_the_best(detector):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[16:24, 40:48], picture[16:24, 48:56] = 250, 200  # anchors 8 pixels apart overlap by a third
    assert len(detector(picture)) == 2
    close = RawTensor(np.array([50, 40], np.int8), 0.1, 0)
    raw = {"scores": close, "boxes": RawTensor(np.array([[0, 0, 0, 0], [0, -5, 0, 0]], np.float32), 0.0, 0)}
    fitted = detector.preprocess(picture)
    assert len(detector.decode(raw, fitted)) == 1  # shifted by half, the second is the same object


def test_float_and_int8_agree(tiny_models):
    bundle = Bundle.load(tiny_models / "galaxy-detector")
    picture = render([(20, 20, 8), (50, 44, 6)], 64, 64)
    exact, quantised = (Detector(bundle, variant, min_score=0.3)(picture) for variant in ("fp32", "int8"))
    assert exact.boxes == pytest.approx(quantised.boxes, abs=0.5)
    assert exact.scores == pytest.approx(quantised.scores, abs=0.05)


def test_classifier_names_by_the_crop_of_each_box(classifier):
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, :100], picture[:, 100:] = 28 * 2, 28 * 6
    boxes = np.array([[30, 30, 60, 60], [130, 30, 160, 60]], np.float32)
    crops = np.stack([classifier.crop(picture, box) for box in boxes])
    assert classifier.probabilities(crops).argmax(axis=1).tolist() == [2, 6]
    named = classifier(picture, Detections(boxes, np.ones(2, np.float32)))
    assert named.probabilities.sum(axis=1) == pytest.approx([1, 1])


def test_levels_unlike_those_of_training_make_a_class_less_sure(classifier):
    """The mean of the crop as it is and with normalised levels: where the two disagree, no class stays sure."""
    crops = np.full((1, 16, 16, 3), 28 * 6, np.uint8)
    crops[:, 6:10, 6:10] = 250
    both = classifier.probabilities(np.concatenate([crops, [normalise_levels(crops[0])]]))
    assert classifier.robust_probabilities(crops)[0] == pytest.approx(both.mean(axis=0))
    assert both[0].argmax() != both[1].argmax()
    assert classifier.robust_probabilities(crops).max() < both.max()
    assert classifier.robust_probabilities(crops[:0]).shape == (0, len(classifier.classes))


def test_classifier_of_nothing_gives_nothing(classifier):
    named = classifier(np.zeros((50, 50, 3), np.uint8), Detections.empty())
    assert named.probabilities.shape == (0, 9)


def test_threads_do_not_change_the_result(tiny_models):
    bundle = Bundle.load(tiny_models / "galaxy-detector")
    batch = cell(3, 3)[None]
    one, two = (load_engine(bundle, threads=threads)(batch) for threads in (1, 2))
    assert all(np.array_equal(one[name].values, two[name].values) for name in one)


def test_wrong_engine_or_threads_are_refused(tiny_models):
    bundle = Bundle.load(tiny_models / "galaxy-detector")
    with pytest.raises(UsageError, match="unknown engine 'coral'"):
        load_engine(bundle, engine="coral")
    with pytest.raises(UsageError, match="at least 1"):
        load_engine(bundle, threads=0)


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (642, 480), (641, 481), (100, 90), (3840, 2160)])
def test_a_frame_whose_halves_are_shared_is_fitted_to_the_same_bits(size):
    # The loop halves a frame once, for the look at its motion and for the network; the motion looks first.
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))
    picture = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    halves = ImagePyramid(picture)
    grey_thumbnail(halves)
    once, twice = detector.preprocess(picture), detector.preprocess(halves)
    assert np.array_equal(once.batch, twice.batch) and once[1:] == twice[1:]
