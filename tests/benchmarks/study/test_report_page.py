"""The comparison with the report: from saved results, committed page up to date."""

import json

import pytest

pytest.importorskip("tensorflow")  # results are saved where networks are trained

from galaxy_edge.benchmarks.study.report_page import SECTIONS, report_page
from galaxy_edge.training.classifier.recipe import SCRATCH
from helpers.paths import ROOT

RESULTS = ROOT / "training" / "results"


def test_committed_page_is_up_to_date():
    """No figure of ours is typed in."""
    command = (
        "galaxy-edge study report --results training/results --out training/RESULTS.md --comparison docs/report.md"
    )
    assert (ROOT / "docs" / "report.md").read_text(encoding="utf-8") == report_page(RESULTS), f"run {command}"


def test_page_without_results_has_every_section(tmp_path):
    """What was not measured is not left out."""
    text = report_page(tmp_path)
    assert all(f"## {title}" in text for title in SECTIONS)
    assert text.count("not measured yet") >= 10


def test_scores_and_tables_are_those_of_the_files(tmp_path):
    """Means and spreads over seeds; tables by macro F1."""
    for seed, accuracy in ((1, 0.6), (2, 0.7)):
        scores = {"accuracy": accuracy, "macro_f1": accuracy - 0.1, "coarse_accuracy": 0.9, "ece": 0.03, "images": 50,
                  "recall": {}, "sets": {}}  # fmt: skip
        result = {"name": "scratch", "seed": seed, "split": "x", "images": 50, "macs": 1, "parameters": 1,
                  "weights": [1.0], "recipes": [{"balance": "partial"}], "float": scores}  # fmt: skip
        (tmp_path / f"scratch-seed{seed}.json").write_text(json.dumps(result))
    rows = [{"name": name, "f1": f1, "epochs": 20, "seeds": [1, 2]} for name, f1 in (("simple", 0.4), ("bigger", 0.5))]
    (tmp_path / "table-scratch.json").write_text(json.dumps(rows))
    text = report_page(tmp_path)
    assert "normalisation | 0.83 | | 0.650 ± 0.071 | 0.550 ± 0.071 | partial |" in text
    assert "(at most 20 epochs, seed 1, 2): bigger 0.500, simple 0.400." in text
    assert "50 test images" in text


@pytest.mark.parametrize(
    ("epochs", "text"), [(20, "The rows were trained alike"), (60, "differ in their balance or number of epochs")]
)
def test_rows_that_were_trained_differently_are_not_compared(epochs, text, tmp_path):
    scores = {
        "accuracy": 0.6,
        "macro_f1": 0.5,
        "coarse_accuracy": 0.9,
        "ece": 0.03,
        "images": 50,
        "recall": {},
        "sets": {},
    }
    for name, limit in (("scratch", 20), ("batch_norm", epochs)):
        result = {"name": name, "seed": 1, "split": "x", "images": 50, "macs": 1, "parameters": 1, "weights": [1.0],
                  "recipes": [{"balance": "partial", "epochs": limit}], "float": scores}  # fmt: skip
        (tmp_path / f"{name}-seed1.json").write_text(json.dumps(result))
        assert ("trained alike" in report_page(tmp_path)) == (name == "batch_norm" and epochs == 20)
    assert text in report_page(tmp_path)


def test_the_best_trial_of_the_search_is_stated(tmp_path):
    """By accuracy, which the search maximises.

    A constant answer to nine classes has a macro F1 below 0.05.
    """
    trials = [
        {"accuracy": accuracy, "macro_f1": f1, "macs": macs}
        for accuracy, f1, macs in ((0.2, 0.04, 9e6), (0.6, 0.5, 57.4e6), (0.5, 0.55, 3e6))
    ]
    (tmp_path / "table-report-search.json").write_text(json.dumps({"epochs": 4, "seed": 1, "trials": trials}))
    text = report_page(tmp_path)
    assert (
        "3 trials of 4 epochs: the best has accuracy 0.600 and macro F1 0.500 on validation with 57.4 million" in text
    )
    assert "; 1 learnt nothing" in text


def test_the_best_strategy_against_imbalance_is_stated(tmp_path):
    rows = [
        {"name": name, "f1": f1, "f1_sd": sd, "epochs": 20, "seeds": [1, 2]}
        for name, f1, sd in (("none", 0.66, 0.029), ("partial", 0.71, 0.015))
    ]
    (tmp_path / "table-balance.json").write_text(json.dumps(rows))
    text = report_page(tmp_path)
    assert "the strategy `partial` has the highest mean, as in the report, 0.050 ahead of `none`: more than" in text
    assert "Seeds have a standard deviation of up to 0.029" in text
    assert "One and the same network" not in text


def test_lead_within_what_training_again_changes_is_not_called_better(tmp_path):
    """The same network has different scores in two tables."""
    for table, scores in (("balance", {"none": 0.69, "partial": 0.71}), ("views", {"report": 0.68, "sky": 0.675})):
        rows = [{"name": name, "f1": f1, "f1_sd": 0.004, "epochs": 20, "seeds": [1, 2]} for name, f1 in scores.items()]
        (tmp_path / f"table-{table}.json").write_text(json.dumps(rows))
    text = report_page(tmp_path)
    assert "0.020 ahead of `none`: not more than repeated trainings change" in text
    assert "0.005 ahead of `sky`: not more than repeated trainings change" in text
    assert "differs by 0.030 between them" in text


def test_tables_of_another_length_are_not_compared(tmp_path):
    for table, row, epochs in (("balance", "partial", 20), ("views", "report", 60)):
        rows = [{"name": name, "f1": 0.7, "f1_sd": 0.0, "epochs": epochs, "seeds": [1]} for name in (row, "none")]
        (tmp_path / f"table-{table}.json").write_text(json.dumps(rows))
    assert "One and the same network" not in report_page(tmp_path)


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ("0" * 20 + "1" * 20, "better than its network from scratch (seed 1: macro F1 0.500 against 0.500 on the same"),
        ("01" * 20, "not shown to differ from its network from scratch"),
    ],
)
def test_the_ensemble_is_compared_on_the_same_images(own, sentence, tmp_path):
    """Two intervals that overlap do not show that there is no difference."""
    scores = {"accuracy": 0.5, "macro_f1": 0.5, "coarse_accuracy": 0.9, "ece": 0.03, "images": 40,
              "recall": {"a": 0.5, "b": 0.5}, "sets": {}}  # fmt: skip
    for name, predicted in (("scratch", "01" * 20), ("ensemble", own)):
        result = {"name": name, "seed": 1, "split": "x", "images": 40, "macs": 1, "parameters": 1, "weights": [1.0],
                  "float": scores, "labels": "0" * 20 + "1" * 20, "predicted": {"float": predicted}}  # fmt: skip
        (tmp_path / f"{name}-seed1.json").write_text(json.dumps(result))
    assert f"The ensemble is {sentence}" in report_page(tmp_path)


def test_effects_of_regularisations_are_stated(tmp_path):
    rows = [
        {"name": name, "f1": 0.75 if "dropout" in name else 0.7, "f1_sd": 0.01, "epochs": 60, "seeds": [1, 2, 3]}
        for name in SCRATCH
    ]
    (tmp_path / "table-scratch.json").write_text(json.dumps(rows))
    text = report_page(tmp_path)
    assert "dropout +0.050 [+0.041, +0.059], L1L2 +0.000 [-0.009, +0.009]" in text
    assert "is raised by dropout, and not shown to depend on L1L2 and batch normalisation." in text
