"""Detectors under one budget: equal numbers of scenes, or of core-hours."""

import json
import shutil

import pytest
from galaxy_edge.training.data.splits import data_hash
from galaxy_edge.training.run import RunError, RunFolder, read_record
from galaxy_edge.training.study import detector_comparison
from galaxy_edge.training.study.agreement import agree
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
        held_out = {"validation": 300 + settings.seed}
        about = {"hash": "data", "labels": data_hash([]), "split": held_out}
        run = RunFolder(out, "detect", settings.plain(), about, resume)
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


def change(run, **values):
    """Change values of a run's record, by name of the table."""
    record = json.loads((run / "run.json").read_text())
    for table, changed in values.items():
        record[table] |= changed
    (run / "run.json").write_text(json.dumps(record))


def test_a_finished_run_of_another_number_of_epochs_is_kept(trained, tmp_path):
    """It was trained further, and its metrics were lost."""
    compare_detectors(["nano"], tmp_path, tmp_path / "short", Budget(scenes=1600), seeds=(2,))
    out = tmp_path / "out"
    shutil.copytree(tmp_path / "short/nano", out / "nano")
    before = (out / "nano/seed2/run.json").read_bytes()
    trained.clear()
    for seeds in ((1,), (1, 2)):  # another seed would stand in one row with it
        with pytest.raises(RunError, match="seed2 was started with epochs=1, not 2"):
            compare_detectors(["nano"], tmp_path, out, Budget(scenes=3200), seeds=seeds)
    hours = tmp_path / "hours"
    shutil.copytree(tmp_path / "short/nano", hours / "nano")
    with pytest.raises(RunError, match="seed2 was started with epochs=1, not 7"):
        compare_detectors(["nano"], tmp_path, hours, Budget(core_hours=0.1))
    shutil.rmtree(hours)
    compare_detectors(["nano"], tmp_path, hours, Budget(core_hours=0.1))
    shutil.copytree(tmp_path / "short/nano/seed2", hours / "nano/seed2")
    with pytest.raises(RunError, match=r"seed2 was trained for another number of epochs than .*seed1"):
        compare_detectors(["nano"], tmp_path, hours, Budget(core_hours=0.1))
    assert trained == [("nano", "speed", 3), ("nano", "seed1", 20)]
    assert (out / "nano/seed2/run.json").read_bytes() == before


def test_a_run_added_later_does_not_change_the_number_of_epochs(trained, tmp_path):
    """A faster copied run told another speed: finished runs were trained on."""
    out, budget = tmp_path / "out", Budget(core_hours=0.1)
    compare_detectors(["quick"], tmp_path, tmp_path / "scenes", Budget(scenes=9 * 1600), seeds=(1, 2))
    shutil.copytree(tmp_path / "scenes/quick/seed2", out / "quick/seed2")
    compare_detectors(["quick"], tmp_path, out, budget, seeds=(2, 3))
    shutil.copytree(tmp_path / "scenes/quick/seed1", out / "quick/seed1")
    fast = (out / "quick/seed1/log.jsonl").read_text().replace("32.0", "16.0").replace("96.0", "48.0")
    (out / "quick/seed1/log.jsonl").write_text(fast)
    trained.clear()
    rows = compare_detectors(["quick"], tmp_path, out, budget, seeds=(1, 2, 3, 4))
    assert trained == [("quick", "seed4", 9)] and rows[0]["seeds"] == [1, 2, 3, 4]


@pytest.mark.parametrize("line", ['{"epoch": 1}', '{"epoch": 1, "core_seconds": null}', ""])
def test_a_copied_run_without_times_cannot_tell_the_speed(trained, tmp_path, line):
    compare_detectors(["quick"], tmp_path, tmp_path / "scenes", Budget(scenes=1600))
    shutil.copytree(tmp_path / "scenes/quick", tmp_path / "out/quick")
    (tmp_path / "out/quick/seed1/log.jsonl").write_text(line)
    with pytest.raises(RunError, match=r"log\.jsonl has no processor times"):
        compare_detectors(["quick"], tmp_path, tmp_path / "out", Budget(core_hours=0.1))


@pytest.mark.parametrize(("values", "message"), [
    ({"settings": {"seed": 5}}, "seed2 was started with seed=5, not 2"),
    ({"settings": {"size": 64}}, "seed2 was started with size=64, not 192"),
    ({"data": {"labels": "other"}}, "seed2 was started with other boxes"),
    ({"data": {"hash": "other"}}, "seed2 was trained on other images or labels than"),
])  # fmt: skip
def test_copied_runs_that_do_not_belong_to_the_table_are_refused(trained, tmp_path, values, message):
    """Only the seeds that were asked for were checked."""
    out, budget = tmp_path / "out", Budget(scenes=3200)
    compare_detectors(["nano"], tmp_path, tmp_path / "other", budget, seeds=(1, 2))
    shutil.copytree(tmp_path / "other/nano", out / "nano")
    compare_detectors(["nano"], tmp_path, out, budget)
    assert (out / "study.json").exists(), "written for copied runs too"
    change(out / "nano/seed2", **values)
    for _ in range(2):
        with pytest.raises(RunError, match=message):
            compare_detectors(["nano"], tmp_path, out, budget)
        (out / "study.json").unlink(missing_ok=True)  # without it the runs are checked one by one too
    assert not (out / "study.json").exists(), "a command that fails does not claim the folder"


def test_a_wrong_command_does_not_claim_a_folder_with_runs(tmp_path):
    """Runs without a study.json are of an earlier version, or were copied."""
    run = tmp_path / "nano" / "seed1"
    RunFolder(run, "detect", {}, {"hash": "data"}, resume=False)
    with pytest.raises(RunError, match="seed1 was started with task=detect, not classify"):
        agree(tmp_path, {"command": "compare"}, {})
    assert not (tmp_path / "study.json").exists()


def test_values_that_an_earlier_version_did_not_record_are_not_compared(tmp_path):
    """Its studies can be continued."""
    agree(tmp_path, {"command": "compare"}, {"a": {"size": 32}})
    agree(tmp_path, {"command": "compare", "labels": "x"}, {"a": {"size": 32, "votes": False}})
    with pytest.raises(RunError, match="started with other labels of the same images"):
        agree(tmp_path, {"command": "compare", "labels": "y"}, {})
    with pytest.raises(RunError, match="a was started with votes=False, not True"):
        agree(tmp_path, {"command": "compare"}, {"a": {"votes": True}})
