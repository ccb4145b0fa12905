"""Detectors under one budget: equal numbers of scenes, or of core-hours."""

import json
import shutil

import pytest
from galaxy_edge.training.run import RunError, RunFolder, read_record
from galaxy_edge.training.study import detector_comparison
from galaxy_edge.training.study.agreement import agree_plain
from galaxy_edge.training.study.detector_comparison import Budget, compare_detectors

SECONDS = {192: 0.01, 288: 0.02}
"""Processor time of a scene by size of the input."""


@pytest.fixture
def trained(monkeypatch):
    """Replace the training by one that only writes its run folder."""
    done = []

    def train(data, out, settings, resume=False, report=None):
        if resume:
            return read_record(out)
        run = RunFolder(
            out, "detect", settings.plain(), {"hash": "data", "split": {"validation": 300 + settings.seed}}, resume
        )
        done.append((out.parent.name, out.name, settings.epochs))
        seconds = SECONDS[settings.size] * settings.images_per_epoch
        for epoch in range(settings.epochs):
            run.log(epoch=epoch + 1, core_seconds=seconds * (3 if epoch == 0 else 1))
        metrics = {"map50": settings.size / 1000 + settings.seed / 100, "threshold": settings.seed / 4}
        return run.finish({"parameters": 1, "macs": 2}, metrics, core_hours=seconds * (settings.epochs + 2) / 3600)

    monkeypatch.setattr(detector_comparison, "train", train)
    monkeypatch.setattr(detector_comparison, "read_set", lambda data: [])
    return done


def test_equal_scenes(trained, tmp_path):
    rows = compare_detectors(["nano", "quick"], tmp_path, tmp_path / "out", Budget(scenes=8000), seeds=(1, 2))
    assert [(name, epochs) for name, _, epochs in trained] == [("nano", 5)] * 2 + [("quick", 5)] * 2
    assert rows[0]["scenes"] == [8000, 8000] and rows[0]["ended_by_limit"] == 2
    # The size, and the mean of both seeds.
    assert rows[0]["means"] == {"map50": pytest.approx(0.192 + 0.015), "threshold": pytest.approx(0.375)}
    assert rows[0]["images"] == [301, 302]
    assert rows[0]["spreads"]["map50"] == pytest.approx(0.00707, abs=1e-4)
    page = (tmp_path / "out" / "comparison.md").read_text()
    assert "at most 8,000 scenes each" in page and "ended 4 of the 4 runs" in page and "0.207 ± 0.007" in page
    assert "holds other images out (301, 302)" in page and "| 0.375 ± 0.177 |" in page


def test_equal_core_hours_give_a_fast_network_more_scenes(trained, tmp_path):
    rows = compare_detectors(["nano", "quick"], tmp_path, tmp_path / "out", Budget(core_hours=0.1))
    assert "was trained once: how much another seed would differ" in (tmp_path / "out/comparison.md").read_text()
    # 360 seconds; an epoch takes 16 or 32, and the first, in which images are read, three times as long.
    assert trained == [("nano", "speed", 3), ("nano", "seed1", 20), ("quick", "speed", 3), ("quick", "seed1", 9)]
    assert all(row["core_hours"][0] <= 0.1 for row in rows)


def test_a_finished_run_of_another_comparison_is_used_and_tells_the_speed(trained, tmp_path):
    """The runs of a slow network take hours, and may be the same in both tables."""
    compare_detectors(["quick"], tmp_path, tmp_path / "scenes", Budget(scenes=9 * 1600))
    compare_detectors(["nano"], tmp_path, tmp_path / "hours", Budget(core_hours=0.1))
    shutil.copytree(tmp_path / "scenes/quick/seed1", tmp_path / "hours/quick/seed1")
    trained.clear()
    rows = compare_detectors(["quick"], tmp_path, tmp_path / "hours", Budget(core_hours=0.1), seeds=(1, 2))
    assert trained == [("quick", "seed2", 9)] and [row["seeds"] for row in rows] == [[1], [1, 2]]


def test_a_comparison_is_resumed_and_never_mixed(trained, tmp_path):
    """A table of runs with other budgets or data would compare nothing."""
    out = tmp_path / "out"
    compare_detectors(["nano"], tmp_path, out, Budget(scenes=3200))
    compare_detectors(["nano", "quick"], tmp_path, out, Budget(scenes=3200))
    assert [name for name, _, _ in trained] == ["nano", "quick"], "a finished run is not trained again"
    for budget in (Budget(scenes=1600), Budget(core_hours=1), Budget(scenes=3200, patience=2)):
        with pytest.raises(RunError, match="was started with budget="):
            compare_detectors(["nano"], tmp_path, out, budget)
    assert [row["name"] for row in json.loads((out / "comparison.json").read_text())["rows"]] == ["nano", "quick"]


def test_the_table_has_all_finished_runs_of_the_folder(trained, tmp_path):
    """A second command with other seeds adds to the table, and does not replace it."""
    out, budget = tmp_path / "out", Budget(scenes=3200)
    compare_detectors(["nano"], tmp_path, out, budget, seeds=(3,))
    compare_detectors(["quick"], tmp_path, out, budget, seeds=(2,))
    rows = compare_detectors(["nano"], tmp_path, out, budget, seeds=(1,))
    assert [(row["name"], row["seeds"]) for row in rows] == [("nano", [1, 3]), ("quick", [2])]
    assert rows[0]["images"] == [301, 303]
    assert json.loads((out / "comparison.json").read_text())["rows"] == rows


@pytest.mark.parametrize(("budget", "message"), [
    (Budget(scenes=16), "an epoch of nano has 1,600 scenes"),
    (Budget(core_hours=0.001), "an epoch of nano takes 0.013 core-hours"),
])  # fmt: skip
def test_a_budget_of_less_than_an_epoch_is_refused(trained, tmp_path, budget, message):
    """The table would name a limit that no run kept."""
    with pytest.raises(RunError, match=message):
        compare_detectors(["nano"], tmp_path, tmp_path / "out", budget)


@pytest.mark.parametrize("limits", [{}, {"scenes": 100, "core_hours": 1.0}])
def test_a_budget_has_one_limit(limits):
    with pytest.raises(ValueError, match="either as --scenes or as --core-hours"):
        Budget(**limits)


def test_a_wrong_command_does_not_claim_a_folder_with_runs(tmp_path):
    """Runs without a study.json are of an earlier version."""
    run = tmp_path / "nano" / "seed1"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    agree_plain(tmp_path, {"folds": 4}, {})
    agree_plain(tmp_path, {"folds": 5}, {})
    assert not (tmp_path / "study.json").exists()
