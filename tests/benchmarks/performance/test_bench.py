"""`bench`, `bench compare`, `eval` and `devices` as a user calls them."""

import json

import pytest
from galaxy_edge.benchmarks.performance.compare import BenchError, compare, read_bench
from helpers.command_line import galaxy_edge_in_process as command_line

CLASSIFIER_KEYS = {
    "accuracy", "macro_f1", "coarse_accuracy", "recall", "confusion", "ece", "ece_by_chance", "images", "intervals",
    "within_experts",
}  # fmt: skip
DETECTOR_KEYS = {
    "map50",
    "map",
    "ar1",
    "ar10",
    "precision",
    "recall",
    "fp_per_frame",
    "frames",
    "boxes",
    "threshold",
    "situations",
    "curves",
    "intervals",
    "operating",
    "swallowed",
}


def row(**changes):
    return {
        "bundle": "galaxy-detector",
        "hash": "a",
        "variant": "int8",
        "engine": "litert",
        "threads": 1,
        "bytes": 1,
        "min_ms": 4.0,
        "median_ms": 5.0,
        **changes,
    }


def test_bench_measures_every_configuration(tiny_models, tmp_path):
    done = command_line("bench", "--models", tiny_models, "--rounds", 4, "--out", tmp_path / "a.json", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "a.json").read_text())
    seen = {(r["bundle"], r["variant"], r["threads"]) for r in result["results"] if r["engine"] == "litert"}
    assert len(seen) == 2 * 2 * 2
    assert all(0 < r["min_ms"] <= r["median_ms"] for r in result["results"])
    compared = command_line("bench", "compare", tmp_path / "a.json", tmp_path / "a.json", "--json")
    assert all(r["min_ratio"] == 1.0 and r["same_model"] for r in json.loads(compared.stdout))
    assert "against" in command_line("bench", "compare", tmp_path / "a.json", tmp_path / "a.json").stdout


def test_compare_gives_second_over_first_of_what_both_have():
    first = {"results": [row(), row(threads=2)]}
    second = {"results": [row(min_ms=12.0, median_ms=10.0, hash="b"), row(engine="tflite-runtime")]}
    (only,) = compare(first, second)
    assert (only["min_ratio"], only["median_ratio"], only["same_model"]) == (3.0, 2.0, False)
    with pytest.raises(BenchError, match="in common"):
        compare(first, {"results": []})


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "cannot be read"), ("{", "is not JSON"), ("[]", "not a benchmark")]
)
def test_files_that_are_not_benchmarks_are_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with pytest.raises(BenchError, match=reason):
        read_bench(tmp_path / "x.json")


def test_devices_shows_this_machine_and_marks_its_profile():
    report = json.loads(command_line("devices", "--json").stdout)
    assert report["machine"]["engines"]["litert"] and report["profile"]["name"] in {
        p["name"] for p in report["profiles"]
    }
    assert f"profile: {report['profile']['name']} (" in command_line("devices").stdout
    assert "raspberry-pi-5" in command_line("devices", "list").stdout
    shown = command_line("devices", "show", "raspberry-pi-5").stdout
    assert "not verified on hardware" in shown and "(public figure: " in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detector", "--data", "nowhere"], "nowhere is not a folder"),
        (["detector", "--data", "."], "no data set in a known layout"),
        (["planets", "--data", "."], "planets"),
        (["detector"], "--data"),
    ],
)
def test_eval_errors_name_the_cause(tmp_path, arguments, message):
    done = command_line("eval", *arguments, cwd=tmp_path, env={"GALAXY_EDGE_DATA": ""})
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_eval_of_the_wrong_bundle(tiny_models, shared_data):
    done = command_line(
        "eval", "detector", "--bundle", tiny_models / "galaxy-classifier", "--data", shared_data / "lco_messier"
    )
    assert done.returncode == 1 and "not 'detect'" in done.stderr


def test_eval_of_the_shipped_detector_on_frames_it_never_saw(shared_data):
    # The LCO frames are in no training set, whatever is trained: the licence forbids it.
    result = json.loads(command_line("eval", "detector", "--data", shared_data / "lco_messier", "--json").stdout)
    assert set(result) == DETECTOR_KEYS
    assert result["frames"] == 88 and result["boxes"] == 30
    assert result["map50"] > 0.3 and result["fp_per_frame"] < 1.0


def test_eval_of_the_shipped_classifier(shared_data):
    result = json.loads(command_line("eval", "classifier", "--data", shared_data / "efigi", "--json").stdout)
    assert set(result) == CLASSIFIER_KEYS
    assert result["images"] == 2581 and sum(map(sum, result["confusion"])) == 2581
    assert result["accuracy"] > 0.6 and result["macro_f1"] > 0.5


def test_the_shipped_detector_leaves_star_fields_alone(shared_data):
    result = json.loads(command_line("eval", "detector", "--data", shared_data / "sdss_starfields", "--json").stdout)
    assert result["frames"] == 967 and result["boxes"] == 0 and result["map50"] is None
    assert result["fp_per_frame"] < 0.1
