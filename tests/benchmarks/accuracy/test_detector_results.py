"""Detectors are compared on the same held-out images, timed in one run.

And the page of them.
"""

import copy
import json
import logging
import re
import shutil
from dataclasses import replace

import pytest
from galaxy_edge.benchmarks.accuracy.detector_page import detector_page
from galaxy_edge.benchmarks.accuracy.detector_results import (
    FILE,
    RULE,
    evaluate_again,
    evaluate_detectors,
    initial_weights,
    read_saved,
)
from galaxy_edge.benchmarks.accuracy.results_page import page
from galaxy_edge.models import intervals
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.training.run import RunError, write_json
from helpers.labelled_sets import make_sets
from helpers.paths import ROOT

pytest.importorskip("pycocotools", reason="needs the bench extra")
pytest.importorskip("sep", reason="needs the export extra")
pytestmark = pytest.mark.usefixtures("few_scenes")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Intervals are tested elsewhere."""
    monkeypatch.setattr(intervals, "DRAWS", 4)


@pytest.fixture(scope="module")
def run(tiny_runs, tiny_models, tmp_path_factory):
    """A finished run of a detector with its bundle in it."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(next(path for path in tiny_runs.iterdir() if "detect" in path.name), folder)
    shutil.copytree(tiny_models / "galaxy-detector", folder / "galaxy-detector")
    record = json.loads((folder / "run.json").read_text())
    record["settings"] |= {"seed": 3, "images_per_epoch": 100, "epochs": 4}
    (folder / "run.json").write_text(json.dumps(record | {"core_hours": 1.25}))
    return folder


def test_result_and_page(run, tmp_path, caplog):
    """The page shows the saved numbers, all measured on the same images."""
    caplog.set_level(logging.INFO, "galaxy_edge.benchmarks")
    sets = make_sets(tmp_path, survey=4, deepsky=6, fields=2)
    result = evaluate_detectors({"ours": run, "stock": run}, sets, tmp_path / "results", rounds=2).to_dict()
    assert json.loads((tmp_path / "results" / FILE).read_text()) == result
    expected = ["evaluating ours", "evaluating stock"]
    assert [message for message in caplog.messages if message.startswith("evaluating")] == expected
    ours, stock = result["detectors"]
    assert ours["int8"] == stock["int8"], "the same network on the same images"
    assert (ours["core_hours"], ours["images"], ours["seed"]) == (1.25, 400, 3)
    assert 0 < ours["min_ms"] <= ours["median_ms"]
    assert ours["int8"]["gz_frames"]["boxes"] == 4 and ours["int8"]["sdss_starfields"]["frames"] == 2
    assert set(result["baselines"]) == {"centre_box", "sep", "sep_tuned"}

    written = "\n".join(detector_page(tmp_path / "results"))
    assert written in page(tmp_path / "results")
    for shown in (
        "| ours | ",
        "| stock, int8 | ",
        "SEP, extended sources",
        "constant centre box",
        "star fields",
        "| 1.2 |",
        "1.2 core-hours each (1.25 to 1.25 were used)",
        f"{ours['int8']['gz_frames']['map50']:.3f}",
        f"| {ours['macs'] / 1e6:.1f} |",
    ):
        assert shown in written, shown
    # Where there is no galaxy there is no mAP: star fields are in the table of the operating threshold alone.
    assert "star fields" not in written.split("###")[1]


def test_row_is_measured_again_without_its_run(run, tmp_path, caplog):
    """Rows of an earlier rule have their own table until they are measured again.

    Measuring needs their bundle only, not their run.
    """
    sets, results = make_sets(tmp_path, survey=4, deepsky=6, fields=2), tmp_path / "results"
    before = evaluate_detectors({"ours": run}, sets, results, rounds=1).to_dict()
    older = {key: value for key, value in before["detectors"][0].items() if key not in ("rule", "bundle")}
    (results / FILE).write_text(json.dumps(before | {"detectors": [older]}))
    assert "### Measured by an earlier rule" in "\n".join(detector_page(results))
    with pytest.raises(RunError, match="no 'other'"):
        evaluate_again("other", run / "galaxy-detector", sets, results)
    # The run's record says another seed than the bundle that was copied into it.
    data = Bundle.load(run / "galaxy-detector", "detect").manifest.data
    before["detectors"][0]["seed"] = older["seed"] = data.split["seed"]
    before["judged_on"]["data"] = data.hash
    (results / FILE).write_text(json.dumps(before | {"detectors": [older]}))
    caplog.set_level(logging.INFO, "galaxy_edge.benchmarks")
    caplog.clear()
    after = evaluate_again("ours", run / "galaxy-detector", sets, results).to_dict()
    assert caplog.messages.count("evaluating ours") == 1, "it takes minutes"
    assert after["detectors"] == before["detectors"] and after["baselines"] == before["baselines"]
    assert "### Measured by an earlier rule" not in "\n".join(detector_page(results))


def test_runs_that_cannot_be_compared_are_rejected(run, tmp_path):
    """Images held out of one training may have been used in another."""
    other = tmp_path / "other"
    shutil.copytree(run, other)
    record = json.loads((other / "run.json").read_text())
    record["data"]["hash"] = "f" * 64
    (other / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="same data"):
        evaluate_detectors({"a": run, "b": other}, tmp_path, tmp_path)
    shutil.rmtree(other / "galaxy-detector")
    with pytest.raises(RunError, match="export --int8"):
        evaluate_detectors({"b": other}, tmp_path, tmp_path)


def test_no_results_give_no_page(tmp_path):
    """The page of classifiers must not end with an empty section."""
    assert detector_page(tmp_path) == []


def of_another_seed(run, folder, seed):
    shutil.copytree(run, folder)
    record = json.loads((folder / "run.json").read_text())
    record["data"]["split"]["seed"] = seed
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_run_that_held_out_other_images_is_listed_apart(run, tmp_path):
    """Its accuracy is of other images, so it must not stand in the same table."""
    other, sets = of_another_seed(run, tmp_path / "other", 9), make_sets(tmp_path, survey=4, deepsky=6, fields=2)
    result = evaluate_detectors({"first": run, "second": other}, sets, tmp_path / "results", rounds=1).to_dict()
    assert [row["apart"] for row in result["detectors"]] == [False, True]
    assert "min_ms" not in result["detectors"][1], "the same network with other weights: only its accuracy is measured"
    main, apart = "\n".join(detector_page(tmp_path / "results")).split("### Other seeds, other images held out")
    assert "| first | " in main and "second" not in main
    assert "| second | " in apart and "| second, int8 | " in apart and "first" not in apart
    assert "SEP" in main and "SEP" not in apart  # the baselines were measured on the first's images
    assert "median ms" in main and "median ms" not in apart


def test_other_seeds_are_added_later(run, tmp_path):
    """Adding a seed must not change what was evaluated and timed before."""
    results, sets = tmp_path / "results", make_sets(tmp_path, survey=4, deepsky=6, fields=2)
    second, third = (of_another_seed(run, tmp_path / str(seed), seed) for seed in (8, 9))
    with pytest.raises(RunError, match="without --add first"):
        evaluate_detectors({"second": second}, sets, results, rounds=1, add=True)
    before = evaluate_detectors({"first": run, "second": second}, sets, results, rounds=1).to_dict()
    with pytest.raises(RunError, match=r"first was timed beside others: .* --again"):
        evaluate_detectors({"first": run}, sets, results, rounds=1, add=True)
    with pytest.raises(RunError, match="scenes of seed 1, not 2"):
        evaluate_detectors({"third": third}, sets, results, seed=2, rounds=1, add=True)
    assert json.loads((results / FILE).read_text()) == before, "a rejected call changes nothing"
    after = evaluate_detectors({"third": third, "second": second}, sets, results, rounds=1, add=True).to_dict()
    assert [row["name"] for row in after["detectors"]] == ["first", "third", "second"], "none is listed twice"
    assert after["detectors"][0] == before["detectors"][0] and after["baselines"] == before["baselines"]
    assert after["detectors"][2] == before["detectors"][1]
    assert json.loads((results / FILE).read_text()) == after


def test_another_size_is_added_later_without_latency(run, tmp_path):
    """It was not timed in turns with the others, so it is not part of their budget."""
    results, sets = tmp_path / "results", make_sets(tmp_path, survey=4, deepsky=6, fields=2)
    evaluate_detectors({"first": run}, sets, results, rounds=1)
    added = evaluate_detectors({"larger": run}, sets, results, rounds=1, add=True).to_dict()["detectors"][1]
    assert not added["apart"] and "min_ms" not in added
    page = "\n".join(detector_page(results))
    size = next(line for line in page.splitlines() if line.startswith("| larger | "))
    assert "| | |" in size and "| larger, int8 | " in page and "budget" not in page


def test_page_tells_what_a_comparison_depends_on(tmp_path):
    """Initial weights, failed gates, and numbers of objects that differ."""
    saved = json.loads((ROOT / "training" / "results" / FILE).read_text())
    first = next(row for row in saved["detectors"] if row.get("rule") == RULE)
    second = copy.deepcopy(first) | {"name": "forced", "started_from": "backbone.npz", "ungated": True}
    for variant in ("fp32", "int8"):
        second[variant]["composed"]["boxes"] = 7
    write_json(tmp_path / FILE, saved | {"detectors": [first]})
    assert "a gate failed" not in "\n".join(detector_page(tmp_path))
    write_json(tmp_path / FILE, saved | {"detectors": [first, second]})
    text = "\n".join(detector_page(tmp_path))
    assert "Exported although a gate failed, int8 having lost too much: forced." in text
    assert re.search(r"\| forced \|.*\| 1 \| backbone.npz \|", text)
    # Before the second network and before the baselines, in two tables: AR@1 is not of such frames.
    assert text.count("| frames / galaxies, from here |") == 4 and text.count(" / 7 |") == 2


@pytest.mark.parametrize(("settings", "start"), [
    ({}, None),
    ({"seed": 1}, "random"),
    ({"seed": 1, "imitate": "net.npz"}, "random, imitating net.npz"),
    ({"seed": 1, "weights": "net.npz"}, "net.npz"),
    ({"seed": 1, "weights": "fp32.tflite", "imitate": None}, "an exported detector"),
])  # fmt: skip
def test_initial_weights_are_recorded(settings, start):
    assert initial_weights(settings) == start


def test_saved_results_are_kept_to_the_byte(tmp_path):
    """Rows of earlier versions lack some values, which are not added."""
    results = ROOT / "training" / "results"
    saved = read_saved(results)
    write_json(tmp_path / FILE, saved.to_dict())
    assert (tmp_path / FILE).read_bytes() == (results / FILE).read_bytes()
    older = saved.row("EfficientDet-Lite0")
    assert (older.rule, older.bundle, older.chosen_on) == (None, None, None)
    assert older.int8["gz_frames"].operating is None and older.int8["gz_frames"].interval("map50") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"detectors": [1]}', '{"detectors": [], "baselines": []}'])
def test_damaged_results_are_named(content, tmp_path):
    """The message names the file, and with it the evaluation to repeat."""
    (tmp_path / FILE).write_text(content)
    with pytest.raises(RunError, match=r"detectors\.json is not a result of 'galaxy-edge study evaluate-detectors'"):
        detector_page(tmp_path)


def test_a_bundle_of_an_earlier_state_of_the_run_is_refused(run, tmp_path, monkeypatch):
    """The scenes and core-hours of its row would be those of a longer training."""
    bundle = Bundle.load(run / "galaxy-detector", "detect")
    bundle = replace(bundle, manifest=bundle.manifest._replace(training={"epochs": 2}))
    monkeypatch.setattr(Bundle, "load", lambda *_: bundle)
    with pytest.raises(RunError, match="exported after 2 epochs, the run has 4: export it again"):
        evaluate_detectors({"a": run}, tmp_path, tmp_path)


def test_a_classifier_is_no_detector(tiny_runs, tmp_path):
    folder = next(path for path in tiny_runs.iterdir() if "classif" in path.name)
    with pytest.raises(RunError, match="is not a run of a detector"):
        evaluate_detectors({"a": folder}, tmp_path, tmp_path)
