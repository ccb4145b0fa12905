"""A finished run is calibrated again with the classes of its own data."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("keras")

from galaxy_edge.training.run import RunError, read_record
from galaxy_edge.training.study.recalibration import recalibrate
from galaxy_edge.training.study.runs import fit_parts
from helpers.tiny_recipe import TINY


def test_a_run_with_other_classes_is_calibrated_again(folder, parts, tmp_path):
    """Its network has three outputs, not nine; the same images give the same limits."""
    recipe = replace(TINY, views="telescopes", epochs=1, refit=False)
    before = fit_parts(recipe, parts, tmp_path / "run").model["decode"]
    found = recalibrate(tmp_path / "run", folder[0])
    assert found["before"] == before and found["decode"].keys() == before.keys() >= {"temperature", "domain"}
    assert found["decode"]["domain"] == pytest.approx(before["domain"], rel=0.01)
    assert found["sure"].keys().isdisjoint({"ece", "abstain"})
    record = read_record(tmp_path / "run")
    assert record.model["decode"] == found["decode"] and record.metrics["sure"] == found["sure"]
    values = json.loads((tmp_path / "run/run.json").read_text())
    values["data"]["split"]["labels"] = "0" * 64
    (tmp_path / "run/run.json").write_text(json.dumps(values))
    with pytest.raises(RunError, match="with other labels of the validation or test images"):
        recalibrate(tmp_path / "run", folder[0])
