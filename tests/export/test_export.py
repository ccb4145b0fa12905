"""Export proves itself or writes nothing."""

import json
import shutil

import numpy as np
import pytest
from conftest import galaxy_edge as command_line
from galaxy_edge.export.bundle import export
from galaxy_edge.export.convert import ExportError, float_tensors, input_is_raw
from galaxy_edge.export.gates import accuracy_kept, is_int8
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.training.run import RunError


@pytest.fixture
def run(tiny_runs, tmp_path):
    return shutil.copytree(tiny_runs / "classifier", tmp_path / "run")


def silent(_):
    pass


def test_int8_is_int8_and_float_is_not(tiny_models):
    for name in ("galaxy-detector", "galaxy-classifier"):
        bundle = Bundle.load(tiny_models / name)
        assert float_tensors(bundle.read("int8.tflite")) == [] and input_is_raw(bundle.read("int8.tflite"))
        assert float_tensors(bundle.read("fp32.tflite")) and not is_int8(bundle.read("fp32.tflite")).passed


def test_a_bundle_carries_what_the_run_knew(tiny_models):
    manifest = Bundle.load(tiny_models / "galaxy-classifier", "classify").manifest
    assert manifest["preprocess"] == {"kind": "crop", "margin": 0.25}
    assert manifest["data"]["sources"] == ["rendered"] and manifest["training"] == {"seed": 1}
    assert manifest["metrics"]["int8"]["accuracy"] == 1.0 and manifest["metrics"]["int8"]["images"] == 90
    golden = Bundle.load(tiny_models / "galaxy-classifier").golden()
    assert golden["inputs"].shape == (8, 16, 16, 3) and golden["int8.logits"].dtype == np.int8


def test_accuracy_that_fell_closes_the_gate():
    fell = {"fp32": {"accuracy": 0.80}, "int8": {"accuracy": 0.78}}
    held = {"fp32": {"accuracy": 0.80}, "int8": {"accuracy": 0.795}}
    rose = {"fp32": {"accuracy": 0.80}, "int8": {"accuracy": 0.82}}
    assert [accuracy_kept("classify", metrics).passed for metrics in (fell, held, rose)] == [False, True, True]
    assert not accuracy_kept("detect", {"fp32": {"map50": None}, "int8": {"map50": None}}).passed


def test_a_network_that_quantisation_ruins_is_not_shipped(tiny_runs, tmp_path):
    target = tmp_path / "bundle"
    done = command_line("export", "--int8", tiny_runs / "fragile", "--out", target, "--json")
    told = json.loads(done.stdout)
    assert told["metrics"]["fp32"]["accuracy"] == 1.0 and told["metrics"]["int8"]["accuracy"] < 0.9
    assert [gate["passed"] for gate in told["gates"]] == [True, False]
    assert done.returncode == 1 and "no bundle was written" in done.stderr
    assert told["bundle"] is None and not target.exists() and list(tmp_path.glob(".bundle*")) == []


def test_a_bundle_that_was_there_survives_a_failed_export(run, tiny_models, tmp_path, monkeypatch):
    target = shutil.copytree(tiny_models / "galaxy-classifier", tmp_path / "bundle")
    before = Bundle.load(target).hash
    monkeypatch.setattr("galaxy_edge.export.gates.MAX_ACCURACY_DROP", -1.0)
    _, gates, _ = export(run, target, silent)
    assert not all(gate.passed for gate in gates)
    assert Bundle.load(target).hash == before


def test_export_twice_gives_the_same_bytes(run, tmp_path):
    hashes = {Bundle.load(export(run, tmp_path / name, silent)[0]).hash for name in ("one", "two")}
    assert len(hashes) == 1


@pytest.mark.parametrize("missing", ["saved_model", "calibration.npz", "evaluation.npz"])
def test_an_incomplete_run_is_named(run, missing):
    shutil.rmtree(run / missing) if (run / missing).is_dir() else (run / missing).unlink()
    with pytest.raises(ExportError, match=f"incomplete: it has no {missing}"):
        export(run, None, silent)


def test_runs_that_are_none(run, tmp_path):
    with pytest.raises(RunError, match=r"has no run\.json"):
        export(tmp_path / "nothing", None, silent)
    record = json.loads((run / "run.json").read_text())
    del record["model"]
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(ExportError, match="not finished"):
        export(run, None, silent)
    (run / "run.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        export(run, None, silent)


def test_black_calibration_pictures_are_refused(run):
    np.savez_compressed(run / "calibration.npz", images=np.zeros((5, 16, 16, 3), np.uint8))
    with pytest.raises(ExportError, match="only black ones"):
        export(run, None, silent)


def test_a_folder_that_is_no_bundle_is_not_replaced(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(ExportError, match="exists and is no bundle"):
        export(run, tmp_path / "mine", silent)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_damaged_network_gets_one_line(run):
    (run / "saved_model" / "saved_model.pb").write_bytes(b"not a network")
    done = command_line("export", "--int8", run)
    assert done.returncode == 1 and "cannot be converted" in done.stderr and "Traceback" not in done.stderr
