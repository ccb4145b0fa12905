"""Shipped bundles agree with their manifests to the bit, and find galaxies.

The galaxies are in real images.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from galaxy_edge.export.bundle_writer import golden_inputs
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.inference.load import load_engine
from galaxy_edge.runtime.sources.demo import STOPS, DemoSource

TASKS = {"galaxy-detector": "detect", "galaxy-classifier": "classify", "galaxy-detector-raw": "detect"}
DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module", params=TASKS)
def bundle(request):
    return Bundle.load(shipped_bundle_path(request.param), TASKS[request.param])


def load_photograph(name):
    return cv2.cvtColor(cv2.imread(str(DATA / name)), cv2.COLOR_BGR2RGB)


def test_golden_int8_outputs_hold_to_the_bit(bundle):
    golden = bundle.golden()
    engine = load_engine(bundle, "int8")
    assert len(golden["inputs"]) >= 8
    for number, image in enumerate(golden["inputs"]):
        for name, output in engine(image[None]).items():
            assert np.array_equal(output.values, golden[f"int8.{name}"][number])


def test_golden_float_outputs_hold_nearly(bundle):
    # Float sums depend on the machine's vector width, so only nearly.
    golden = bundle.golden()
    engine = load_engine(bundle, "fp32")
    for number, image in enumerate(golden["inputs"]):
        for name, output in engine(image[None]).items():
            assert output.values == pytest.approx(golden[f"fp32.{name}"][number], abs=2e-2)


def test_golden_inputs_are_of_the_demo_and_of_no_labelled_image(bundle):
    inputs = bundle.golden()["inputs"]
    difference = np.abs(inputs.astype(int) - golden_inputs(*bundle.input_size))
    assert difference.max() <= 2  # decoders of JPEG differ by a step


def test_every_gate_was_passed(bundle):
    assert bundle.manifest.gates and all(gate.passed for gate in bundle.manifest.gates)
    assert bundle.manifest.licence == "Apache-2.0" and bundle.manifest.data.sources
    assert "lco_messier" not in bundle.manifest.data.sets


def test_the_classes_are_the_nine():
    assert Bundle.load(shipped_bundle_path("galaxy-classifier")).classes == CLASSES


def test_galaxies_of_a_real_group_are_found():
    # Seyfert's Sextet: four galaxies are far enough apart to be separated.
    found = Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))(load_photograph("n6027.jpg"))
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    group = (centres[:, 0] > 40) & (centres[:, 0] < 190) & (centres[:, 1] > 50) & (centres[:, 1] < 230)
    assert group.any()


def test_the_demo_boxes_galaxies_and_not_the_two_bright_stars():
    # Places in pixels of the sky image, read off it by eye: a face-on spiral, three ellipticals, and the two stars
    # with spikes. A detector that fires on anything bright and large takes the stars too.
    galaxies = np.array([(124, 401), (420, 405), (514, 440), (422, 718)])
    stars = np.array([(254, 166), (753, 577)])
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))
    sky = DemoSource()
    centres = []
    for x, y, width in (*STOPS, *((x, y, 240) for x, y in stars), (753, 577, 320)):
        view = sky.window(np.array((x, y, width), float))
        height, columns = sky.sky.shape[:2]
        scale = width / view.shape[1]
        left = np.clip(x - width / 2, 0, columns - width)
        top = np.clip(y - width * 3 / 8, 0, height - width * 3 / 4)
        boxes = detector(view).boxes
        centres += list((boxes[:, :2] + boxes[:, 2:]) / 2 * scale + [left, top])
    apart = np.hypot(*(np.array(centres)[:, None] - np.concatenate([galaxies, stars])).T)
    assert (apart[:4].min(axis=1) < 12).all() and (apart[4:].min(axis=1) > 15).all()


def test_classifier_distinguishes_an_edge_on_disk_from_a_round_blob():
    classifier = Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier")))
    rows, columns = np.mgrid[:88, :88] - 43.5

    def galaxy(a, b):
        light = 8 + 230 * np.exp(-np.sqrt((columns / a) ** 2 + (rows / b) ** 2))
        return np.clip(light, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)

    thin, round_galaxy = (
        classifier.probabilities(classifier.crop(galaxy(*axes), None)[None])[0] for axes in ((16, 2), (9, 9))
    )
    edge_on = [name.startswith("edge_on") or name == "smooth_cigar" for name in CLASSES]
    assert thin[edge_on].sum() > 0.5 > round_galaxy[edge_on].sum()
