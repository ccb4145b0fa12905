"""The page of results shows the saved results; the committed page is up to date."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from galaxy_edge.benchmarks.accuracy.results_page import TITLES, page
from galaxy_edge.models.labels import CLASSES

pytest.importorskip("tensorflow")  # the page is written where networks are trained

from galaxy_edge.benchmarks.accuracy.classifier_results import _check_bundle, read_results, refit_gain, scores
from galaxy_edge.benchmarks.accuracy.records.classification import Scores, StudyResult, decode_labels, encode_labels
from galaxy_edge.training.classifier.dataset import GalaxyDataset
from galaxy_edge.training.classifier.last_layer import TRAINED_LAYER, save_trained_layer
from galaxy_edge.training.run import RunError, RunFolder, write_json
from galaxy_edge.training.study.runs import probabilities_of
from helpers.paths import ROOT

RESULTS = ROOT / "training" / "results"


def result(name, seed, accuracy, **more):
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


def test_page_shows_means_spreads_and_the_change_with_normalised_levels(tmp_path):
    """A reader compares networks by these numbers.

    They must be those of the saved results.
    """
    for seed, accuracy in ((1, 0.70), (2, 0.80)):
        (tmp_path / f"scratch-seed{seed}.json").write_text(json.dumps(result("scratch", seed, accuracy)))
    text = page(tmp_path)
    row = next(line for line in text.splitlines() if "CNN from scratch" in line)
    spread = np.std([0.7, 0.8], ddof=1)
    assert f"0.750 ± {spread:.3f}" in row and "1,234" in row and "| 5.6 |" in row and "| 1, 2 |" in row
    assert "-0.040, +0.000" in text and "int8 |" not in row


def test_int8_has_its_own_row(tmp_path):
    """The int8 network is another network, with its own accuracy and file size."""
    saved = result("small", 1, 0.7)
    saved |= {"int8": saved["float"], "int8_levelled": saved["float_levelled"], "int8_bytes": 51200}
    (tmp_path / "small-seed1.json").write_text(json.dumps(saved))
    assert any(f"{TITLES['small']}, int8" in line and "| 50.0 |" in line for line in page(tmp_path).splitlines())


def test_page_without_results(tmp_path):
    """An empty table would look like a result."""
    assert "Nothing has been evaluated" in page(tmp_path)


def test_committed_page_is_up_to_date():
    """No number of the page is typed in."""
    command = "galaxy-edge study report --results training/results --out training/RESULTS.md"
    assert (RESULTS.parent / "RESULTS.md").read_text(encoding="utf-8") == page(RESULTS), f"run {command}"


RECIPE = {"network": "scratch", "balance": "partial", "views": "report", "epochs": 20}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"split": "y"}, r"seed2\.json is of another split than .*seed1\.json"),
        ({"recipes": [RECIPE | {"epochs": 60}]}, r"seed2\.json is of another recipe than 'scratch' of seed 1"),
        ({"recipes": [RECIPE | {"balance": "weights"}]}, "another recipe"),
        ({"recipes": [RECIPE | {"votes": True}]}, "another recipe"),
        ({"parameters": 9}, "another recipe"),  # of another width, say
        ({"weights": [0.5, 0.5], "recipes": [RECIPE, RECIPE]}, "another recipe"),
        ({"name": "bigger"}, r"seed2\.json holds 'bigger' of seed 2, which bigger-seed2\.json should hold"),
        ({"seed": 1}, r"seed2\.json holds 'scratch' of seed 1"),
        ({"split": ""}, "another split"),
    ],
)
def test_results_that_do_not_belong_together_make_no_table(more, message, tmp_path):
    """A mean over other recipes, epochs or test parts would be the score of nothing."""
    write_json(tmp_path / "scratch-seed1.json", result("scratch", 1, 0.7, recipes=[RECIPE]))
    write_json(tmp_path / "scratch-seed2.json", result("scratch", 2, 0.8, recipes=[RECIPE]) | more)
    with pytest.raises(RunError, match=message):
        page(tmp_path)


def test_settings_that_one_result_has_not_recorded_do_not_matter(tmp_path):
    """Results of earlier versions have fewer settings."""
    write_json(tmp_path / "scratch-seed1.json", result("scratch", 1, 0.7, recipes=[RECIPE]))
    write_json(tmp_path / "scratch-seed2.json", result("scratch", 2, 0.8, recipes=[RECIPE | {"size": 69}]))
    assert "0.750 ±" in page(tmp_path)
    write_json(tmp_path / "scratch-seed1.json", result("scratch", 1, 0.7, recipes=[RECIPE | {"size": 64}]))
    with pytest.raises(RunError, match="another recipe"):
        page(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "scratch"}', "null", '{"float": {"sets": []}}'])
def test_damaged_result_is_named(content, tmp_path):
    """The message names the file, and with it the evaluation to repeat."""
    (tmp_path / "scratch-seed1.json").write_text(content)
    with pytest.raises(RunError, match=r"scratch-seed1\.json is not a result of 'galaxy-edge study evaluate'"):
        page(tmp_path)


@pytest.mark.parametrize(("change", "message"), [
    ({"parameters": "many"}, "'parameters' is 'many'"), ({"images": True}, "'images' is True"),
    ({"float": {**result("small", 1, 0.7)["float"], "recall": {"smooth_round": "x"}}}, "'recall.smooth_round' is 'x'"),
    ({"weights": {"a": 1}}, "'weights' is {'a': 1}"),
    ({"refit": {"before": "0.5", "after": 0.6, "low": 0.0, "high": 0.1}}, "'refit' is RefitGain"),
    ({"refit": {"before": 0.5}}, "missing 3 required keyword-only arguments"),
])  # fmt: skip
def test_values_of_another_type_are_named(tmp_path, change, message):
    """They would be a traceback where the page is written."""
    (tmp_path / "small-seed1.json").write_text(json.dumps(result("small", 1, 0.7) | change))
    with pytest.raises(RunError, match=r"small-seed1\.json is not a result of 'galaxy-edge study evaluate'") as error:
        read_results(tmp_path)
    assert message in str(error.value)


def test_a_class_without_test_images_and_an_error_not_recorded_are_empty_cells(tmp_path):
    saved = result("small", 1, 0.7)
    saved["float"]["recall"] |= {CLASSES[0]: None}
    saved["float"]["ece_by_chance"] = None
    (tmp_path / "small-seed1.json").write_text(json.dumps(saved))
    whole, recall, *_ = (line for line in page(tmp_path).splitlines() if line.startswith(f"| {TITLES['small']} |"))
    assert [cell.strip() for cell in whole.split("|")][5:7] == ["0.030", ""]
    assert [cell.strip() for cell in recall.split("|")][2:4] == ["", "0.50"]


def test_the_gain_of_the_refit_has_its_own_table(tmp_path):
    gain = {"before": 0.7, "after": 0.73, "low": 0.01, "high": 0.05}
    write_json(tmp_path / "small-seed1.json", result("small", 1, 0.7, refit=gain))
    write_json(tmp_path / "small-seed2.json", result("small", 2, 0.7))
    text = page(tmp_path)
    assert f"| {TITLES['small']} | 1 | 0.700 | 0.730 | +0.030 [+0.010, +0.050] |" in text
    assert read_results(tmp_path)["small"][0].to_dict()["refit"] == gain
    (tmp_path / "small-seed1.json").unlink()
    assert "fitted again" not in page(tmp_path)


def test_the_gain_of_the_refit_is_measured_on_the_same_images(tmp_path):
    """The layer before names one of four images right, the layer after all of them."""
    keras = pytest.importorskip("keras")
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    labels = np.array([0, 1, 2, 2])
    images = np.broadcast_to(colours[labels][:, None, None], (4, 32, 32, 3))
    dataset = GalaxyDataset(
        CLASSES[:3], labels, ("",) * 4, tuple("abcd"), ("one",) * 4,
        tuple(lambda image=image: (image, None) for image in images), 0.3,
    )  # fmt: skip
    pixels = keras.Input((32, 32, 3))
    model = keras.Model(pixels, keras.layers.Dense(3, name="logits")(keras.layers.GlobalAveragePooling2D()(pixels)))
    run = RunFolder(tmp_path / "run", "classify", {"seed": 1}, {"hash": "0"}, resume=False)
    model.get_layer("logits").set_weights([np.eye(3)[:, [0, 2, 1]], np.zeros(3)])
    save_trained_layer(model, run.folder)
    model.get_layer("logits").set_weights([np.eye(3), np.zeros(3)])
    model.save(run.folder / "model.keras")
    run.finish({"input": {"width": 32, "height": 32}, "decode": {"temperature": 1.0}}, {})
    gain = refit_gain(run.folder, dataset, probabilities_of(run.folder, dataset))
    assert (gain.before, gain.after) == (
        pytest.approx(1 / 3),
        1.0,
    ) and gain.low <= gain.after - gain.before <= gain.high
    (run.folder / TRAINED_LAYER).write_bytes(b"PK")
    with pytest.raises(RunError, match=f"{TRAINED_LAYER} cannot be read"):
        refit_gain(run.folder, dataset, np.eye(3))


def test_networks_are_compared_on_the_same_images(tmp_path):
    """Two intervals that overlap say too little on the difference."""
    labels = np.arange(90) % 9
    right, wrong = encode_labels(labels), encode_labels(np.roll(labels, 1))
    for name, predicted in (("telescopes", right), ("nano", wrong[:10] + right[10:])):
        more = {"labels": right, "predicted": {"float": predicted}, "images": 90}
        write_json(tmp_path / f"{name}-seed1.json", result(name, 1, 0.7, **more))
    write_json(tmp_path / "small-seed1.json", result("small", 1, 0.7))
    text = page(tmp_path)
    rows = text[text.index("of the shipped network is higher") :].split("\n\n")[1]
    assert TITLES["nano"] in rows and TITLES["small"] not in rows
    found = read_results(tmp_path)
    change = found["telescopes"][0].difference(found["nano"][0])
    assert 0 < change[1] < change[0] < change[2] < 0.25
    assert f"| {change[0]:+.3f} [{change[1]:+.3f}, {change[2]:+.3f}] |" in rows
    assert found["telescopes"][0].difference(found["small"][0]) is None
    assert (decode_labels(wrong) == np.roll(labels, 1)).all()
    many = np.arange(300)  # folders of classes may be as many
    assert (decode_labels(json.loads(json.dumps(encode_labels(many)))) == many).all()


@pytest.mark.parametrize("predicted", ["0" * 49, "0" * 49 + "9", "0" * 49 + " "])
def test_classes_of_other_images_are_refused(predicted, tmp_path):
    """Damaged classes would give a difference of nothing."""
    more = {"labels": "0" * 50, "predicted": {"float": predicted}}
    write_json(tmp_path / "nano-seed1.json", result("nano", 1, 0.7, **more))
    with pytest.raises(RunError, match=r"nano-seed1\.json is not a result of 'galaxy-edge study evaluate'"):
        page(tmp_path)


@pytest.mark.parametrize(
    ("change", "accepted"),
    [
        ({}, True),
        ({"finished": "2026-01-02T00:00:00Z"}, False),  # trained for longer after the export
        ({"model": {"parameters": 8}}, False),
        ({"data": {"split": {"hash": "other"}}}, False),
    ],
)
def test_bundle_of_another_network_is_refused(change, accepted, tmp_path):
    """Its int8 row would stand below the float row of another network."""
    run = {"model": {"parameters": 7}, "data": {"split": {"hash": "s"}}, "finished": "2026-01-01T00:00:00Z"}
    bundle = SimpleNamespace(
        manifest=SimpleNamespace(
            data=SimpleNamespace(split={"hash": "s"}),
            created="2026-01-01T00:00:00Z",
            network=SimpleNamespace(parameters=7),
        )
    )
    check = partial(_check_bundle, bundle, tmp_path, [tmp_path], SimpleNamespace(**run | change))
    if accepted:
        check()
    else:
        with pytest.raises(RunError, match="was not exported from"):
            check()
    with pytest.raises(RunError, match="the export of one run"):
        _check_bundle(bundle, tmp_path, [tmp_path, tmp_path], SimpleNamespace(**run))


def test_page_shows_strategy_and_limit_of_epochs(tmp_path):
    """A comparison is fair only if the page shows strategy and limit of epochs.

    A network that was trained for less, or with another strategy, cannot be compared without them.
    """
    write_json(tmp_path / "scratch-seed1.json", result("scratch", 1, 0.7, recipes=[RECIPE]))
    row = next(line for line in page(tmp_path).splitlines() if "CNN from scratch" in line)
    assert "| partial | 20 | 1,234 |" in row


def test_scores_of_each_source():
    """An accuracy over all images can hide a source on which a network fails."""
    labels = np.array([0, 1, 2, 3])
    dataset = GalaxyDataset(CLASSES, labels, ("",) * 4, tuple("abcd"), ("one", "one", "two", "two"), (), 0.3)
    probabilities = np.eye(9)[[0, 1, 2, 8]]
    found = scores(probabilities, dataset)
    assert found.accuracy == 0.75
    assert found.sets["one"].accuracy == 1.0 and found.sets["two"].accuracy == 0.5
    assert Scores.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*-seed*.json")), ids=lambda path: path.stem)
def test_saved_results_are_kept_to_the_byte(path, tmp_path):
    """Files of earlier versions lack some values, which are not added."""
    write_json(tmp_path / path.name, StudyResult.from_dict(json.loads(path.read_text(encoding="utf-8"))).to_dict())
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_result_of_an_earlier_version(tmp_path):
    """What it does not record is None, is not shown and is not written."""
    write_json(tmp_path / "small-seed1.json", result("small", 1, 0.7, temperature=1.0))
    [read] = read_results(tmp_path)["small"]
    whole = read.scores["float"]
    assert (read.recipes, read.int8_bytes, list(read.scores)) == (None, None, ["float", "float_levelled"])
    assert (whole.intervals, whole.classes, whole.within_experts, len(whole.confusion)) == (None, None, None, 0)
    assert not {"intervals", "classes", "within_experts", "confusion"} & set(read.to_dict()["float"])
    assert "experts' interval" not in page(tmp_path)
