"""The page of images."""

import re

import numpy as np
import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.training.scenes.drawn_galaxies import SHAPES, draw_classes, draw_galaxy
from helpers.paths import ROOT


def test_drawn_galaxies_look_like_their_classes():
    """The shipped network was trained on photographs, and names most of them right."""
    images, names = draw_classes(69)
    assert images.shape == (9, 69, 69, 3) and images.dtype == np.uint8 and names == list(CLASSES)
    assert images.max() > 240 and np.median(images) < 40
    assert np.array_equal(draw_galaxy(SHAPES["smooth_round"], 69), images[1])
    classifier = Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier"), "classify"), "int8")
    predicted = classifier.probabilities(images).argmax(axis=1)
    assert sum(classifier.classes[label] == name for label, name in zip(predicted, names, strict=True)) >= 6


def test_class_table_has_macro_means_over_classes_with_images():
    pytest.importorskip("tensorflow")
    from galaxy_edge.benchmarks.study.pictures import class_table

    never = {"precision": None, "recall": 0.0, "f1": 0.0, "support": 4, "auc": 0.5}
    absent = {"precision": None, "recall": None, "f1": None, "support": 0, "auc": None}
    half = {"precision": 0.75, "recall": 1.0, "f1": 0.857, "support": 6, "auc": 0.9}
    lines = class_table({"spiral_tight": half, "never": never, "absent": absent})
    cells = lines[2].split(" | ")
    assert cells[1:3] == ["0.750 [0.409, 0.929]", "1.000 [0.610, 1.000]"] and cells[5] == "6 |"
    assert cells[3].startswith("0.857 [0.") and cells[4].startswith("0.900 [0.")
    assert lines[4] == "| absent | | | | | 0 |"
    assert lines[5] == "| macro mean | 0.375 | 0.500 | 0.428 | 0.700 | 10 |"


def test_intervals_of_a_class_as_by_drawing_images():
    """F1 and area from counts alone have the intervals of drawn images."""
    pytest.importorskip("tensorflow")
    metrics = pytest.importorskip("sklearn.metrics")
    from galaxy_edge.benchmarks.study.pictures import class_intervals

    rng = np.random.default_rng(2)
    truth = rng.random(400) < 0.2
    score = np.clip(rng.normal(0.35 + 0.3 * truth, 0.18), 0, 1)
    named = score >= 0.5
    scores = {"precision": metrics.precision_score(truth, named), "recall": metrics.recall_score(truth, named),
              "f1": metrics.f1_score(truth, named), "auc": metrics.roc_auc_score(truth, score),
              "support": int(truth.sum())}  # fmt: skip
    found = class_intervals(scores, len(truth))
    draws = [rng.integers(0, 400, 400) for _ in range(500)]
    for key, measure in (
        ("f1", lambda rows: metrics.f1_score(truth[rows], named[rows])),
        ("auc", lambda rows: metrics.roc_auc_score(truth[rows], score[rows])),
    ):
        low, high = np.quantile([measure(rows) for rows in draws], [0.025, 0.975])
        assert found[key][0] == pytest.approx(low, abs=0.02) and found[key][1] == pytest.approx(high, abs=0.02)


def test_titles_that_give_one_file_name_are_rejected(tmp_path):
    pytest.importorskip("tensorflow")
    from galaxy_edge.benchmarks.study.pictures import write_pictures
    from galaxy_edge.training.run import RunError

    with pytest.raises(RunError, match="different file names"):
        write_pictures({"Ours!": tmp_path, "ours": tmp_path}, tmp_path, tmp_path)


def test_committed_page_shows_its_pictures():
    """Every picture is there, and none is left over from an earlier page."""
    text = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\(study/([^)]+)\)", text))
    assert shown and shown == {path.name for path in (ROOT / "docs" / "study").iterdir()}
