"""The example of a plug-in with files of its own: ncnn, where there are wheels."""

import json
import os
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from galaxy_edge.devices.engine_plugins import GROUP
from galaxy_edge.models.boxes import iou_matrix
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from helpers.paths import ROOT

EXAMPLE = ROOT / "docs" / "example_ncnn"
WHEELS = ("ncnn==1.0.20261020", "pnnx==20261020")

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def test_ncnn_gives_the_outputs_of_onnx_runtime_and_the_events_of_a_run(tmp_path):
    for module in ("tf2onnx", "onnxruntime"):
        pytest.importorskip(module, reason="needs the extras export and onnx")
    site, models = tmp_path / "site", tmp_path / "models"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*pip, "--only-binary=:all:", "--target", site, *WHEELS], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the wheels of ncnn and pnnx for this system: {done.stderr.strip()[-200:]}")
    shutil.copy(EXAMPLE / "galaxy_edge_ncnn.py", site)
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    about = site / f"galaxy_edge_ncnn-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    entry = project["entry-points"][GROUP]["ncnn"]
    (about / "entry_points.txt").write_text(f"[{GROUP}]\nncnn = {entry}\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}

    def python(*arguments):
        command = [sys.executable, "-m", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    names = ("galaxy-detector", "galaxy-classifier")
    said = python("galaxy_edge_ncnn", *map(shipped_bundle_path, names), models)
    assert said.count("ncnn differs from ONNX Runtime by") == 2, said  # and by no more than its tolerance
    for name in names:
        assert Bundle.load(models / name).variant("ncnn").runtime == "plugin:ncnn"
    run = ("galaxy_edge", "run", "--camera", "demo", "--models", models, "--max-frames", "4", "--json")
    low = ("--min-score", "0.3")  # so that what one finds just below the threshold is seen
    frames = {}
    for engine in ("ncnn", "litert"):
        lines = python(*run, *low, "--engine", engine, "--out", tmp_path / engine).splitlines()
        frames[engine] = [json.loads(line)["detections"] for line in lines]
    # float32 and int8 find the same; only near the threshold may one of them miss it.
    compared = 0
    for ours, others in (frames.values(), reversed(frames.values())):
        for found, expected in zip(ours, others, strict=True):
            boxes = np.array([item["box"] for item in found]).reshape(-1, 4)
            for item in (item for item in expected if item["score"] >= 0.4):
                near = np.flatnonzero(iou_matrix(np.array([item["box"]]), boxes)[0] > 0.5)
                assert [found[index]["class"] for index in near] == [item["class"]]
                compared += 1
    assert compared >= 8
