"""Detectors side by side: on the same unseen pictures, timed in one run, beside the baselines; and the page of them."""

import json
import shutil

import pytest
from galaxy_edge.benchmarks.accuracy.detector_results import FILE, detector_page, judge_detectors
from galaxy_edge.benchmarks.accuracy.results_page import page
from galaxy_edge.training.run import RunError
from helpers.labelled_sets import make_sets

pytest.importorskip("pycocotools", reason="needs the bench extra")
pytest.importorskip("sep", reason="needs the export extra")


@pytest.fixture(scope="module")
def run(tiny_runs, tiny_models, tmp_path_factory):
    """A finished run of a detector with its bundle in it."""
    folder = tmp_path_factory.mktemp("judged") / "run"
    shutil.copytree(next(path for path in tiny_runs.iterdir() if "detect" in path.name), folder)
    shutil.copytree(tiny_models / "galaxy-detector", folder / "galaxy-detector")
    record = json.loads((folder / "run.json").read_text())
    record["settings"] |= {"seed": 3, "images_per_epoch": 100, "epochs": 4}
    (folder / "run.json").write_text(json.dumps(record | {"core_hours": 1.25}))
    return folder


def test_verdict_and_page(run, tmp_path):
    sets = make_sets(tmp_path, survey=4, deepsky=6, fields=2)
    said = []
    verdict = judge_detectors({"ours": run, "stock": run}, sets, 1, 2, said.append, tmp_path / "results")
    assert json.loads((tmp_path / "results" / FILE).read_text()) == verdict
    assert said == [f"judging {name}, {kind}" for name in ("ours", "stock") for kind in ("float", "int8")]
    ours, stock = verdict["detectors"]
    assert ours["int8"] == stock["int8"], "the same network on the same pictures"
    assert (ours["core_hours"], ours["images"], ours["seed"]) == (1.25, 400, 3)
    assert 0 < ours["min_ms"] <= ours["median_ms"]
    assert ours["int8"]["gz_frames"]["boxes"] == 4 and ours["int8"]["sdss_starfields"]["frames"] == 2
    assert set(verdict["baselines"]) == {"centre_box", "sep"}

    written = "\n".join(detector_page(tmp_path / "results"))
    assert written in page(tmp_path / "results")
    for shown in (
        "| ours | ",
        "| stock, int8 | ",
        "SEP, extended sources",
        "constant box",
        "star fields",
        "| 1.2 |",
        "1.2 core-hours each (1.25 to 1.25 were used)",
        f"{ours['int8']['gz_frames']['map50']:.3f}",
        f"| {ours['macs'] / 1e6:.1f} |",
    ):
        assert shown in written, shown
    # Where there is no galaxy there is no mAP: star fields are in the table of the operating threshold alone.
    assert "star fields" not in written.split("###")[1]


def test_only_what_can_be_compared_is_judged(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    record = json.loads((other / "run.json").read_text())
    record["data"]["hash"] = "f" * 64
    (other / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="same data"):
        judge_detectors({"a": run, "b": other}, tmp_path, 1, 1, print, tmp_path)
    shutil.rmtree(other / "galaxy-detector")
    with pytest.raises(RunError, match="export --int8"):
        judge_detectors({"b": other}, tmp_path, 1, 1, print, tmp_path)


def test_nothing_judged_is_no_page(tmp_path):
    assert detector_page(tmp_path) == []


def of_another_seed(run, folder, seed):
    shutil.copytree(run, folder)
    record = json.loads((folder / "run.json").read_text())
    record["data"]["split"]["seed"] = seed
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_a_run_that_held_other_pictures_out_is_told_apart(run, tmp_path):
    other, sets = of_another_seed(run, tmp_path / "other", 9), make_sets(tmp_path, survey=4, deepsky=6, fields=2)
    verdict = judge_detectors({"first": run, "second": other}, sets, 1, 1, lambda _: None, tmp_path / "results")
    assert [row["apart"] for row in verdict["detectors"]] == [False, True]
    assert "min_ms" not in verdict["detectors"][1], "the same network with other weights: only its accuracy is told"
    main, apart = "\n".join(detector_page(tmp_path / "results")).split("### Other seeds, other pictures held out")
    assert "| first | " in main and "second" not in main
    assert "| second | " in apart and "| second, int8 | " in apart and "first" not in apart
    assert "SEP" in main and "SEP" not in apart  # the baselines are of the first's pictures
    assert "median ms" in main and "median ms" not in apart


def test_other_seeds_are_added_later(run, tmp_path):
    results, sets = tmp_path / "results", make_sets(tmp_path, survey=4, deepsky=6, fields=2)
    second, third = (of_another_seed(run, tmp_path / str(seed), seed) for seed in (8, 9))
    with pytest.raises(RunError, match="without --add first"):
        judge_detectors({"second": second}, sets, 1, 1, print, results, add=True)
    before = judge_detectors({"first": run, "second": second}, sets, 1, 1, lambda _: None, results)
    with pytest.raises(RunError, match="judged and timed in one run"):
        judge_detectors({"again": run}, sets, 1, 1, print, results, add=True)
    with pytest.raises(RunError, match="scenes of seed 1, not 2"):
        judge_detectors({"third": third}, sets, 2, 1, print, results, add=True)
    assert json.loads((results / FILE).read_text()) == before, "what is refused changes nothing"
    after = judge_detectors({"third": third, "second": second}, sets, 1, 1, lambda _: None, results, add=True)
    assert [row["name"] for row in after["detectors"]] == ["first", "third", "second"], "none is there twice"
    assert after["detectors"][0] == before["detectors"][0] and after["baselines"] == before["baselines"]
    assert after["detectors"][2] == before["detectors"][1]
    assert json.loads((results / FILE).read_text()) == after
