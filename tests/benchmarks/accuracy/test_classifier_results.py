"""The page of results says what the verdicts say, and the committed page is the one that they give."""

import json

import numpy as np
import pytest
from galaxy_edge.benchmarks.accuracy.results_page import TITLES, page
from galaxy_edge.models.labels import CLASSES

pytest.importorskip("tensorflow")  # the page is written where networks are trained

from galaxy_edge.benchmarks.accuracy.classifier_results import PAGE, RESULTS, scores, verdicts
from galaxy_edge.training.classifier.dataset import GalaxyDataset


def verdict(name, seed, accuracy, **more):
    measured = {
        "accuracy": accuracy,
        "macro_f1": accuracy - 0.1,
        "coarse_accuracy": 0.9,
        "ece": 0.03,
        "ece_by_chance": 0.02,
        "images": 50,
        "recall": dict.fromkeys(CLASSES, 0.5),
    }
    whole = {**measured, "sets": {"efigi": measured}}
    lower = {**whole, "accuracy": accuracy - 0.04}
    return {
        "name": name,
        "seed": seed,
        "split": "x",
        "images": 50,
        "weights": [1.0],
        "parameters": 1234,
        "macs": 5_600_000,
        "float": whole,
        "float_levelled": lower,
        **more,
    }


def test_the_page_gives_means_spreads_and_the_fall_without_sky(tmp_path):
    for seed, accuracy in ((1, 0.70), (2, 0.80)):
        (tmp_path / f"scratch-seed{seed}.json").write_text(json.dumps(verdict("scratch", seed, accuracy)))
    text = page(tmp_path)
    row = next(line for line in text.splitlines() if "CNN from scratch" in line)
    spread = np.std([0.7, 0.8], ddof=1)
    assert f"0.750 ± {spread:.3f}" in row and "1,234" in row and "| 5.6 |" in row and "| 1, 2 |" in row
    assert "-0.040, +0.000" in text and "int8 |" not in row


def test_int8_has_a_row_of_its_own(tmp_path):
    one = verdict("small", 1, 0.7)
    one |= {"int8": one["float"], "int8_levelled": one["float_levelled"], "int8_bytes": 51200}
    (tmp_path / "small-seed1.json").write_text(json.dumps(one))
    assert any(f"{TITLES['small']}, int8" in line and "| 50.0 |" in line for line in page(tmp_path).splitlines())


def test_nothing_judged_is_said(tmp_path):
    assert "Nothing has been judged" in page(tmp_path)


def test_the_page_of_the_package_is_what_its_verdicts_give():
    assert PAGE.read_text(encoding="utf-8") == page(), "run galaxy-edge study results"


def test_verdicts_are_of_one_split():
    assert len({one["split"] for group in verdicts(RESULTS).values() for one in group}) <= 1


def test_scores_are_given_of_each_source_alone():
    labels = np.array([0, 1, 2, 3])
    pictures = GalaxyDataset(CLASSES, labels, ("",) * 4, tuple("abcd"), ("one", "one", "two", "two"), (), 0.3)
    probabilities = np.eye(9)[[0, 1, 2, 8]]
    found = scores(probabilities, pictures)
    assert found["accuracy"] == 0.75
    assert found["sets"]["one"]["accuracy"] == 1.0 and found["sets"]["two"]["accuracy"] == 0.5
