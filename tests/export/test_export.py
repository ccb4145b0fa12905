"""Export writes a bundle only if all gates pass."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from galaxy_edge.export.bundle import export_run
from galaxy_edge.export.bundle_writer import golden_inputs
from galaxy_edge.export.errors import ExportError, ExportUsage
from galaxy_edge.export.settings import Settings
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.runtime.inference.golden import check_golden
from galaxy_edge.runtime.sources.demo import DemoSource
from galaxy_edge.training.run import RunError
from helpers.command_line import galaxy_edge
from helpers.command_line import galaxy_edge_in_process as command_line


@pytest.fixture
def run(tiny_runs, tmp_path):
    return shutil.copytree(tiny_runs / "classifier", tmp_path / "run")


def test_a_bundle_carries_what_the_run_knew(tiny_models):
    manifest = Bundle.load(tiny_models / "galaxy-classifier", "classify").manifest
    assert manifest.preprocess.to_dict() == {"kind": "crop", "margin": 0.25}
    assert manifest.data.sources == ("rendered",) and manifest.training == {"seed": 1}
    assert manifest.metrics["int8"]["accuracy"] == 1.0 and manifest.metrics["int8"]["images"] == 90
    assert manifest.metrics["int8"]["parity"]["agreement"] == 1.0 and manifest.licence == "Apache-2.0"
    assert manifest.export["calibration"] == {"pictures": 90, "source": "the run's own"}
    golden = Bundle.load(tiny_models / "galaxy-classifier").golden()
    assert golden["inputs"].shape == (8, 16, 16, 3) and golden["int8.logits"].dtype == np.int8


def test_golden_inputs_are_no_images_of_the_data(tiny_models, tiny_runs):
    inputs = Bundle.load(tiny_models / "galaxy-classifier").golden()["inputs"]
    np.testing.assert_array_equal(inputs, golden_inputs(16, 16))
    assert len({image.tobytes() for image in inputs}) == 8 and inputs.std(axis=(1, 2, 3)).min() > 1
    for name in ("evaluation", "calibration"):
        with np.load(tiny_runs / "classifier" / f"{name}.npz") as data:
            known = {image.tobytes() for image in data["images"]}
        assert not known & {image.tobytes() for image in inputs}


def test_golden_inputs_keep_the_proportions_of_the_sky():
    wide = golden_inputs(96, 48, 2)
    assert wide.shape == (2, 48, 96, 3)
    sky = DemoSource().sky
    scale = np.random.default_rng(1).uniform(0.7, 2.0)
    height, width = int(48 * scale), int(96 * scale)
    shrunk = cv2.resize(sky, None, fx=96 / width, fy=48 / height, interpolation=cv2.INTER_AREA)
    assert cv2.matchTemplate(shrunk, wide[0], cv2.TM_CCOEFF_NORMED).max() > 0.9
    assert golden_inputs(2000, 1000, 1).shape == (1, 1000, 2000, 3)  # larger than the picture


def test_a_network_that_quantisation_ruins_is_not_shipped(tiny_runs, tmp_path):
    target = tmp_path / "bundle"
    done = command_line(
        "export", "--int8", tiny_runs / "fragile", "--out", target, "--json", "--report", tmp_path / "report.md"
    )
    result = json.loads(done.stdout)
    assert result["metrics"]["fp32"]["accuracy"] == 1.0 and result["metrics"]["int8"]["accuracy"] < 0.9
    failed = {gate["gate"]: gate["measured"] for gate in result["gates"] if not gate["passed"]}
    assert (
        set(failed) == {"accuracy: int8", "parity: int8"}
        and "smooth_round by 100.00 points (" in failed["accuracy: int8"]
    )
    assert done.returncode == 1 and "no bundle was written" in done.stderr
    assert result["bundle"] is None and not target.exists() and list(tmp_path.glob(".bundle*")) == []
    assert "no bundle was written" in (tmp_path / "report.md").read_text()


def test_force_writes_an_ungated_bundle(tiny_runs, tmp_path):
    made = export_run(tiny_runs / "fragile", tmp_path / "bundle", Settings(force=True))
    assert made.bundle is not None and not made.passed
    manifest = Bundle.load(made.bundle).manifest
    assert manifest.ungated is True and not all(gate.passed for gate in manifest.gates)
    info = command_line("bundle", "info", made.bundle)
    assert info.returncode == 0 and "UNGATED" in info.stdout


def test_a_bundle_that_was_there_survives_a_failed_export(run, tiny_runs, tiny_models, tmp_path):
    target = shutil.copytree(tiny_models / "galaxy-classifier", tmp_path / "bundle")
    before = Bundle.load(target).hash
    assert export_run(tiny_runs / "fragile", target).bundle is None
    assert Bundle.load(target).hash == before and list(tmp_path.glob(".bundle*")) == []


def test_an_export_killed_between_its_renames_loses_no_bundle(tiny_runs, tiny_models, tmp_path):
    # The old one has made room, the new one is not there yet: what a power cut leaves.
    old = shutil.copytree(tiny_models / "galaxy-classifier", tmp_path / ".bundle.old")
    before = Bundle.load(old).hash
    assert export_run(tiny_runs / "fragile", tmp_path / "bundle").bundle is None
    assert Bundle.load(tmp_path / "bundle").hash == before and not old.exists()
    assert export_run(tiny_runs / "fragile", tmp_path / "bundle", Settings(force=True)).bundle is not None
    assert Bundle.load(tmp_path / "bundle").hash != before and list(tmp_path.glob(".bundle*")) == []


def test_export_twice_gives_the_same_bytes(tiny_runs, tmp_path):
    # In one process: converters that number what they make must not show it.
    made = [export_run(tiny_runs / "detector", tmp_path / name, Settings(("all",))) for name in ("one", "two")]
    assert len({Bundle.load(result.bundle).hash for result in made}) == 1


def test_variants_of_a_detector_agree(tiny_runs, tmp_path):
    from galaxy_edge.runtime.inference.detector import Detector

    made = export_run(tiny_runs / "detector", tmp_path / "bundle", Settings(("all",)))
    assert made.passed, made.gates
    bundle = Bundle.load(tmp_path / "bundle")
    assert list(bundle.variants) == ["fp32", "int8", "postprocess", "onnx_fp32", "onnx_int8"]
    image = np.zeros((128, 128, 3), np.uint8)
    image[32:48, 80:96] = 250
    for name in bundle.variants:
        found = Detector(bundle, name)(image)
        assert found.boxes == pytest.approx(np.array([[72, 24, 104, 56]]), abs=1), name
        assert found.scores[0] > 0.98
    with pytest.raises(ExportUsage, match="for detectors"):
        export_run(tiny_runs / "classifier", None, Settings(("tflite-postprocess",)))


def test_fallbacks_are_tried_in_order_and_recorded(tiny_runs, tmp_path, caplog):
    """No range suits a layer with one unit 60 times the others; 16 bits do."""
    caplog.set_level("INFO", "galaxy_edge")
    assert not export_run(tiny_runs / "wide", tmp_path / "bundle").passed
    made = export_run(tiny_runs / "wide", tmp_path / "bundle", Settings(fallback="auto"))
    assert made.passed and made.evaluation.metrics["int8"].accuracy == 1.0
    messages = [message for message in caplog.messages if message.startswith("fallback")]
    assert messages[-1] == "fallback for tflite-int8: int16 activations in 2 of 2 layers"
    manifest = Bundle.load(tmp_path / "bundle").manifest
    assert manifest.export["rescue"] == {"int8": "int16 activations in 2 of 2 layers"}
    assert manifest.export["edgetpu"]["mapped"] < manifest.export["edgetpu"]["operators"]


def test_failed_fallback_is_reported(tiny_runs, tmp_path):
    made = export_run(tiny_runs / "fragile", tmp_path / "bundle", Settings(fallback="auto"))
    assert made.bundle is None and made.manifest.export["rescue"] == {"int8": "nothing helped"}


def test_another_method_fixes_tflite_and_onnx_at_no_cost(tiny_runs, tmp_path):
    # One wild calibration pixel stretches min-max until grey levels share a step; percentile leaves it out.
    def settings(fallback):
        return Settings(("tflite-int8", "onnx-int8"), method="min-max", fallback=fallback)

    made = export_run(tiny_runs / "spiked", tmp_path / "bundle", settings("none"))
    failed = {gate.name for gate in made.gates if not gate.passed}
    assert made.bundle is None and {"accuracy: int8", "accuracy: onnx_int8"} <= failed
    made = export_run(tiny_runs / "spiked", tmp_path / "bundle", settings("auto"))
    assert made.passed, made.gates
    assert made.manifest.export["rescue"] == {"int8": "percentile", "onnx_int8": "percentile"}
    # What a device gets is the rescued file, all in 8 bits, with golden vectors of its own.
    assert made.manifest.export["edgetpu"]["share_of_macs"] == 1.0
    done = command_line("bundle", "verify", made.bundle)
    assert done.returncode == 0, done.stderr
    assert "percentile" in command_line("bundle", "info", made.bundle).stdout


@pytest.mark.parametrize("method", ["min-max", "percentile", "mse", "entropy"])
def test_every_method_of_onnx_makes_what_passes(run, tmp_path, method):
    made = export_run(run, tmp_path / "bundle", Settings(("onnx-int8",), method=method))
    assert made.passed and made.manifest.export["onnx_method"] == method, made.gates


@pytest.mark.parametrize(("input_type", "output_type"), [("int8", "int8"), ("uint8", "uint8"), ("int8", "uint8")])
def test_the_ends_of_int8_can_be_chosen(run, tmp_path, input_type, output_type):
    from galaxy_edge.export.tflite.reader import read_tflite

    settings = Settings(input_type=input_type, output_type=output_type)
    made = export_run(run, tmp_path / "bundle", settings)
    assert made.passed, made.gates
    graph = read_tflite(Bundle.load(made.bundle).read("int8.tflite")).graph
    assert [graph.tensors[graph.inputs[0]].dtype, graph.tensors[graph.outputs[0]].dtype] == [input_type, output_type]
    # Same bytes of pixels in, same numbers out but for the offset: golden vectors hold them as the manifest says.
    bundle = Bundle.load(made.bundle)
    assert bundle.variant("int8").outputs[0].dtype == output_type
    assert bundle.golden()["int8.logits"].dtype == output_type and "identical to the golden" in check_golden(bundle)
    usual = Bundle.load(export_run(run, tmp_path / "usual").bundle).golden()["int8.logits"].astype(int)
    np.testing.assert_array_equal(bundle.golden()["int8.logits"].astype(int) - 128 * (output_type == "uint8"), usual)


def test_where_a_bundle_may_be_put(run, tmp_path):
    target, link, empty = tmp_path / "place", tmp_path / "link", tmp_path / "empty"
    link.symlink_to(target)
    empty.mkdir()
    for out in (link, link, empty):  # a link leads to the bundle before and after
        assert export_run(run, out).passed
    assert link.is_symlink() and Bundle.load(target).hash == Bundle.load(empty).hash
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "link", "place", "run"]
    with pytest.raises(ExportUsage, match="choose another --out"):
        export_run(run, tmp_path.__class__("/"))


def test_only_staging_folders_of_dead_processes_are_removed(run, tmp_path):
    mine, dead = tmp_path / ".bundle.part", tmp_path / ".bundle.999999999.part"
    alive = tmp_path / f".bundle.{os.getppid()}.part"
    for folder in (mine, dead, alive):
        folder.mkdir()
    assert export_run(run, tmp_path / "bundle").passed
    assert mine.is_dir() and alive.is_dir() and not dead.exists()


def test_ungated_bundle_is_run_with_a_warning(tiny_runs, tmp_path):
    export_run(tiny_runs / "fragile", tmp_path / "galaxy-classifier", Settings(force=True))
    export_run(tiny_runs / "detector", tmp_path / "galaxy-detector")
    done = galaxy_edge("run", "--camera", "demo", "--models", tmp_path, "--max-frames", 2, "--out", tmp_path / "found")
    assert done.returncode == 0 and "galaxy-classifier is UNGATED" in done.stderr
    assert "UNGATED" in command_line("bundle", "verify", tmp_path / "galaxy-classifier").stdout


@pytest.mark.parametrize("missing", ["saved_model", "calibration.npz", "evaluation.npz"])
def test_an_incomplete_run_is_named(run, missing):
    shutil.rmtree(run / missing) if (run / missing).is_dir() else (run / missing).unlink()
    with pytest.raises(ExportError, match=f"incomplete: it has no {missing}"):
        export_run(run, None)


def test_invalid_runs_are_refused(run, tmp_path):
    with pytest.raises(RunError, match=r"has no run\.json"):
        export_run(tmp_path / "nothing", None)
    record = json.loads((run / "run.json").read_text())
    del record["model"]
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(ExportError, match="not finished"):
        export_run(run, None)
    (run / "run.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        export_run(run, None)


def test_folder_that_is_not_a_bundle_is_not_replaced(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(ExportError, match="exists and is not a bundle"):
        export_run(run, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_saved_model_of_another_shape_is_refused(run, tiny_runs):
    # The record says 16x16 and logits; the network is the detector's.
    shutil.rmtree(run / "saved_model")
    shutil.copytree(tiny_runs / "detector" / "saved_model", run / "saved_model")
    before = sorted(path.name for path in run.iterdir())
    done = command_line("export", "--int8", run)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "takes [[1, 64, 64, 3]], not one input of [1, 16, 16, 3] as its run records" in done.stderr
    assert sorted(path.name for path in run.iterdir()) == before


def test_a_damaged_network_gets_one_line(run):
    (run / "saved_model" / "saved_model.pb").write_bytes(b"not a network")
    done = command_line("export", "--int8", run)
    assert done.returncode == 1 and "cannot be converted" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "choose what to make"),
        (("--formats", "tflite-int4"), "unknown format 'tflite-int4'"),
        (("--formats", "tflite-int8", "--method", "entropy"), "int8 TFLite has no method 'entropy'"),
        (("--formats", "onnx-int8", "--method", "kl"), "unknown method 'kl'"),
        (("--int8", "--labels", "x.txt"), "--labels needs --from"),
    ],
)
def test_usage_errors_are_reported(run, arguments, message):
    done = command_line("export", *arguments, run)
    assert done.returncode == 2 and message in done.stderr
