"""Ensembles: weights found on validation; unsuitable combinations are rejected."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("keras")

from galaxy_edge.models.decode import softmax
from galaxy_edge.training.run import RunError, read_record, write_json
from galaxy_edge.training.study.ensembles import (
    calibrated,
    ensemble_temperature,
    find_ensemble,
    parse_shares,
    read_ensemble,
)
from helpers.tiny_study import NAMES


def test_ensemble_weights_are_found_on_validation(runs, tmp_path):
    """Weights found on the test part would flatter the ensemble.

    No others on a grid may be better.
    """
    metrics = pytest.importorskip("sklearn.metrics")
    out = runs[0]
    members = [out / "plain/seed1", out / "full/seed1"]
    result = find_ensemble(members, tmp_path)
    assert json.loads((tmp_path / "ensemble.json").read_text()) == result.to_dict()
    weights = np.array(result.weights)
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1) and result.to_dict()["chosen_on"] == "validation"
    each = []
    for run in members:
        with np.load(run / "predictions.npz") as kept:
            labels = kept["labels"]
            each.append(softmax(kept["logits"].astype(float), read_record(run).model["decode"]["temperature"]))

    def f1(share):
        blended = share * each[0] + (1 - share) * each[1]
        return metrics.f1_score(labels, blended.argmax(axis=1), average="macro")

    assert result.together.macro_f1 == pytest.approx(f1(weights[0]), abs=1e-6)
    # No weight of a grid of tenths is better, so neither member alone is.
    assert f1(weights[0]) >= max(f1(share) for share in np.linspace(0, 1, 11)) - 1e-9
    assert [found.macro_f1 for found in result.alone] == pytest.approx([f1(1.0), f1(0.0)], abs=1e-6)
    assert read_ensemble(tmp_path / "ensemble.json", members) == (result.weights, result.temperature)
    # Weights that are given have their temperature from validation too.
    assert ensemble_temperature(members, result.weights) == pytest.approx(result.temperature)
    assert ensemble_temperature(members, [1.0, 0.0]) != pytest.approx(result.temperature, rel=1e-4)
    # Averaging by the written file gives the reported metrics.
    together = calibrated(weights[0] * each[0] + weights[1] * each[1], result.temperature)
    loss = -np.log(together[np.arange(len(labels)), labels]).mean()
    assert together.sum(axis=1) == pytest.approx(1) and result.together.accuracy == pytest.approx(
        metrics.accuracy_score(labels, together.argmax(axis=1))
    )
    blended = weights[0] * each[0] + weights[1] * each[1]
    blended /= blended.sum(axis=1, keepdims=True)  # the weights are rounded
    assert loss <= metrics.log_loss(labels, blended, labels=range(len(NAMES))) + 1e-6


def test_runs_that_cannot_be_combined(runs, tmp_path):
    """Averages over other images or classes would be meaningless."""
    run = runs[0] / "plain/seed1"
    with pytest.raises(RunError, match="two or more runs"):
        find_ensemble([run], tmp_path / "out")
    other = shutil.copytree(run, tmp_path / "other")
    with np.load(run / "predictions.npz") as kept:
        arrays = {name: kept[name] for name in kept.files}
    np.savez(other / "predictions.npz", **{**arrays, "ids": arrays["ids"][::-1]})
    with pytest.raises(RunError, match="validated on other images"):
        find_ensemble([run, other], tmp_path / "out")
    np.savez(other / "predictions.npz", **arrays)
    record = read_record(run)
    write_json(other / "run.json", replace(record, model={**record.model, "classes": [*NAMES[::-1]]}).to_dict())
    with pytest.raises(RunError, match="has other classes"):
        find_ensemble([run, other], tmp_path / "out")
    # A run that was stopped has a record, but neither a model nor predictions.
    write_json(other / "run.json", replace(record, model={}).to_dict())
    (other / "predictions.npz").unlink()
    with pytest.raises(RunError, match="not finished"):
        find_ensemble([run, other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_of_other_runs_are_rejected(tmp_path):
    """Weights belong to networks, not to positions on the command line."""
    path = tmp_path / "ensemble.json"
    a, b, c = runs = [tmp_path / name for name in "abc"]
    for run in runs:
        run.mkdir()
        (run / "model.keras").write_text(run.name)
    networks = [hashlib.sha256(name.encode()).hexdigest() for name in "ab"]
    write_json(path, {"runs": ["a", "b"], "networks": networks, "weights": [0.4, 0.6], "temperature": 0.8})
    assert read_ensemble(path, [a, b]) == ([0.4, 0.6], 0.8)
    # A weight belongs to its network, whatever the order and wherever the folder was moved.
    assert read_ensemble(path, [b.rename(tmp_path / "moved"), a]) == ([0.6, 0.4], 0.8)
    with pytest.raises(RunError, match="has weights of a, b, not"):
        read_ensemble(path, [a, c])
    with pytest.raises(RunError, match="has weights of a, b, not"):
        read_ensemble(path, [a])
    path.write_text("{}")
    with pytest.raises(RunError, match=r"not an ensemble\.json"):
        read_ensemble(path, [a, c])


def test_shares_are_those_given():
    """The report's ensemble has fixed shares, which no validation part chose."""
    assert parse_shares("0.6,0.4", 2) == pytest.approx([0.6, 0.4])
    assert parse_shares("3, 1", 2) == [0.75, 0.25]
    for wrong in ("0.6", "0.6,x", "0.6,-0.4", "0.6,0.4,0.1", "nan,1", "inf,1", ""):
        with pytest.raises(RunError, match="2 positive shares"):
            parse_shares(wrong, 2)
