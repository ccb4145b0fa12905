"""Limits of a classifier's domain, chosen on validation images degraded by steps."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the train extra")
from galaxy_edge.models.classification_metrics import calibration_error
from galaxy_edge.models.decode import softmax
from galaxy_edge.models.intervals import wilson_interval
from galaxy_edge.models.labels import CLASSES, GALAXY10, coarse_group
from galaxy_edge.runtime.inference.domain import highest_doubted
from galaxy_edge.training.classifier.calibration import fit_temperature
from galaxy_edge.training.classifier.dataset import GalaxyDataset
from galaxy_edge.training.classifier.dataset_files import DECALS
from galaxy_edge.training.classifier.domain_limits import (
    VIEWS,
    _choose_names,
    _measured_on_other_half,
    calibrate_on_views,
    choose_groups,
    last_good,
    sure_precision,
)
from galaxy_edge.training.data.splits import in_first_half

SIZE = 32


def dataset(classes):
    """Four flat images of each class, of a level of its own."""
    labels = np.repeat(np.arange(len(classes)), 4)
    images = [np.full((SIZE, SIZE, 3), 40 + 20 * label, np.uint8) for label in labels]
    ids = tuple(f"{number:064x}" for number in np.random.default_rng(5).integers(0, 1 << 62, len(labels)))
    readers = tuple(lambda image=image: (image, None) for image in images)
    groups = tuple(coarse_group(classes[label]) for label in labels)
    return GalaxyDataset(classes, labels, groups, ids, ("flat",) * len(labels), readers, 0.3)


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[1:4], GALAXY10, ("spiral_any", "smooth_any")])
def test_limits_are_chosen_for_any_classes_with_coarse_groups(classes):
    """A run on a folder of three classes failed after all of its training."""
    validation = dataset(classes)

    def forward(images):
        levels = images.mean(axis=(1, 2, 3))[:, None]
        return -(((levels - 40 - 20 * np.arange(len(classes))) / 10) ** 2)

    decode, measured, checked = calibrate_on_views(forward, validation.images(SIZE), validation, 1)
    assert highest_doubted(len(classes)) < decode["abstain"] <= 1
    assert decode["domain"].keys() == {"min_side", "max_outside", "max_burnt", "min_energy"}
    assert decode.get("groups", {}).keys() <= set(map(coarse_group, classes))
    assert measured["views"]["images"] == VIEWS * len(validation)
    assert checked.keys() == {"ece"}, "halves of so few images have no threshold"


def test_classes_without_a_coarse_group_get_no_limits(caplog):
    """Limits are measured by group, and classes of Galaxy10 DECaLS have none."""
    validation = dataset(DECALS)
    assert calibrate_on_views(None, validation.images(SIZE), validation, 1) == (None, {}, {})
    assert "no limits of its domain" in caplog.text and "classes have none: disturbed, merging" in caplog.text


def test_limit_is_the_last_amount_with_enough_correct_classes():
    """Later amounts do not count, be they right by chance."""
    rows = [
        {"amount": amount, "precision": precision} for amount, precision in ((1, 0.97), (2, 0.93), (3, 0.8), (4, 1))
    ]
    assert last_good(rows) == 2 and last_good(rows[2:]) == 3


def test_certain_names_are_classes_and_groups():
    """A class above its threshold, or classes of one group that are sure together.

    Right is the group.
    """
    probabilities = np.full((3, 9), 0.01)
    probabilities[0, CLASSES.index("smooth_round")] = 0.92
    probabilities[1, [CLASSES.index("spiral_tight"), CLASSES.index("spiral_loose")]] = 0.465
    probabilities[2, [CLASSES.index("spiral_tight"), CLASSES.index("smooth_cigar")]] = 0.465
    labels = np.array([CLASSES.index(name) for name in ("smooth_cigar", "edge_on_no_bulge", "spiral_tight")])
    assert sure_precision(probabilities, labels, CLASSES, 0.75) == {"coverage": pytest.approx(2 / 3), "precision": 0.5}


def test_a_group_that_is_often_wrong_needs_more():
    """A group is limited where its sure names are wrong too often.

    Groups that are right need no limit.
    """
    disk, spiral = CLASSES.index("disk_no_spiral"), CLASSES.index("spiral_tight")
    sure = np.repeat([0.97, 0.88, 0.97], 40)
    probabilities = np.full((120, 9), 0.0)
    probabilities[np.arange(120), np.repeat([disk, disk, spiral], 40)] = sure
    probabilities[np.arange(120), np.repeat([spiral, spiral, disk], 40)] = 1 - sure
    labels = np.repeat([disk, spiral, spiral], 40)
    assert choose_groups(probabilities, labels, CLASSES, 0.7) == {"disk_no_spiral": 0.89}
    labels[:40] = spiral  # never right
    assert choose_groups(probabilities, labels, CLASSES, 0.7) == {"disk_no_spiral": 1.0}


def test_abstention_lies_above_what_a_doubted_class_can_have():
    """However good a network is, a galaxy outside its domain stays unsure."""
    labels = np.arange(180) % 9
    logits = np.eye(9)[labels] * 4.0
    _, abstain, groups = _choose_names(logits, labels, CLASSES)
    assert abstain > highest_doubted(9) > 0.555 and groups == {}


def test_calibration_is_measured_with_the_temperature_of_the_other_half():
    """The error of the images that chose a temperature would be too low.

    The interval of views is that of as many galaxies.
    """
    rng = np.random.default_rng(1)
    images = 200
    labels = rng.integers(0, 9, images)
    known = np.concatenate([labels, np.repeat(labels, VIEWS)])
    logits = rng.normal(0, 1, (len(known), 9)) + 3.0 * np.eye(9)[known]
    ids = [f"{number:064x}" for number in rng.integers(0, 1 << 62, images)]
    half = np.array([in_first_half(digest) for digest in ids])
    rows, confidence, correct = np.concatenate([half, np.repeat(half, VIEWS)]), np.zeros(images), np.zeros(images, bool)
    for chosen in (rows, ~rows):
        others = ~chosen[:images]
        probabilities = softmax(logits[:images][others], fit_temperature(logits[chosen], known[chosen]))
        confidence[others], correct[others] = (
            probabilities.max(axis=1),
            probabilities.argmax(axis=1) == labels[others],
        )
    found, checked = _measured_on_other_half(logits, known, ids, CLASSES)
    assert checked["ece"] == pytest.approx(calibration_error(confidence, correct))
    above = np.zeros(images, bool)
    for chosen in (rows, ~rows):
        temperature, abstain, _ = _choose_names(logits[chosen], known[chosen], CLASSES)
        others = ~chosen[:images]
        above[others] = softmax(logits[:images][others], temperature).max(axis=1) >= abstain
    assert checked["abstain"]["coverage"] == above.mean()
    assert checked["abstain"]["accuracy"] == correct[above].mean()
    views = found["views"]
    count = views["coverage"] * images
    assert views["images"] == VIEWS * images
    assert views["interval"] == pytest.approx(wilson_interval(views["precision"] * count, count))
