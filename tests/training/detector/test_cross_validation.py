"""Cross-validation of the detector: early stopping, mean and spread, resuming."""

import dataclasses
import json

import pytest
from galaxy_edge.benchmarks.accuracy.result_tables import save_table
from galaxy_edge.training.run import RunError
from helpers.small_detector import SMALL


@pytest.mark.slow
@pytest.mark.usefixtures("short_mobilenet")
def test_folds_stop_early_and_resume(sets, tmp_path):
    """The log shows whether and when a training stopped.

    A finished fold is not trained again.
    """
    from galaxy_edge.training.detector.cross_validation import train_folds

    settings, out = dataclasses.replace(SMALL, epochs=2, patience=1), tmp_path / "run"
    result = train_folds(sets, out, settings, 2)
    for fold in (1, 2):
        lines = [json.loads(line) for line in (out / f"fold{fold}" / "log.jsonl").read_text().splitlines()]
        scores = [line["map50"] for line in lines]
        better = [score > max([-1.0, *scores[:epoch]]) for epoch, score in enumerate(scores)]
        assert all(better[:-1]) and (not better[-1] or len(lines) == settings.epochs)
        record = json.loads((out / f"fold{fold}" / "run.json").read_text())
        assert record["data"]["split"]["fold"] == fold - 1
        assert result["metrics"]["map50"]["values"][fold - 1] == record["metrics"]["map50"]
    values = result["metrics"]["map50"]["values"]
    assert result["metrics"]["map50"]["mean"] == pytest.approx(sum(values) / 2)
    assert "| mAP@0.5 |" in (out / "folds.md").read_text()
    held_out = [
        json.loads((out / f"fold{fold}" / "run.json").read_text())["data"]["split"]["validation"] for fold in (1, 2)
    ]
    assert result["images"] == held_out and (result["epochs"], result["scenes"]) == (2, settings.images_per_epoch)
    saved = save_table("detector-folds", out, tmp_path / "results")
    assert json.loads(saved.read_text())["metrics"] == result["metrics"]
    seen = []
    assert train_folds(sets, out, settings, 2, resume=True, report=seen.append) == result and not seen
    with pytest.raises(RunError, match=r"width=0\.25, not 0\.5"):  # a mean of two networks is meaningless
        train_folds(sets, out, dataclasses.replace(settings, width=0.5), 2, resume=True)
