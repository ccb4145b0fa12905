"""The report is one self-contained file.

Output of `bundle info`, `bundle diff` and `bundle forms`.
"""

import json
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from galaxy_edge.export.bundle import export_run
from galaxy_edge.export.calibration_images import pick_evenly
from galaxy_edge.export.errors import ExportError
from galaxy_edge.export.examples import Example
from galaxy_edge.export.report import html_report, markdown_report, write_report
from galaxy_edge.export.settings import Settings
from galaxy_edge.export.tflite.layer_errors import layer_errors
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from helpers.command_line import galaxy_edge_in_process as command_line
from helpers.paths import REFERENCE

KEPT_FORMS = REFERENCE / "forms.json"


@pytest.fixture(scope="module")
def result(tiny_runs, tmp_path_factory):
    settings = Settings(("all",), debug_layers=True)
    return export_run(tiny_runs / "classifier", tmp_path_factory.mktemp("out") / "bundle", settings)


def test_report_page_needs_no_other_file(result):
    text = html_report(result)
    assert not re.search(r"(src|href)=\"(?!data:)", text) and "<script" not in text
    assert text.count("data:image/png;base64,") == 8
    for heading in (
        "Gates",
        "Variants",
        "Confusion matrix of int8",
        "Layers with the largest int8 errors",
        "Edge TPU",
        "Examples",
    ):
        assert heading in text
    assert "Every gate passed." in text


def test_every_example_has_its_truth_and_verdict(result):
    shown = re.findall(
        r"<figcaption>truth: (\w+)<br>fp32: (\w+) .*?int8: (\w+) .*?<b class=\"(\w+)\">(\w+) after", html_report(result)
    )
    assert len(shown) == 8
    for truth, _, quantised, kind, verdict in shown:
        assert (kind, verdict) == (("passed", "right") if quantised == truth else ("failed", "wrong"))
    assert "; right after quantisation" in markdown_report(result, "examples.png")


@pytest.mark.parametrize(
    ("right", "verdict"),
    [
        ((True, True), "right after quantisation"),
        ((True, False), "wrong after quantisation, right before"),
        ((False, True), "right after quantisation, wrong before"),
        ((False,), "wrong"),
    ],
)
def test_verdict_says_whether_quantisation_changed_it(right, verdict):
    assert Example(np.zeros((4, 4, 3), np.uint8), (), right).verdict == verdict


def test_report_page_fits_a_phone(result, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium (apt install chromium)")
    path = tmp_path / "report.html"
    path.write_text(html_report(result))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True).new_page()
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("innerWidth") == 390  # a page without a viewport is laid out for a desktop, and shrunk
        browser.close()


def test_markdown_says_the_same(result):
    text = markdown_report(result)
    for row in ("| onnx_int8 |", "| accuracy: int8 |", "| ai-edge-quantizer |", "| smooth_round |"):
        assert row in text
    assert len({line.count("|") for line in text.split("## Variants")[1].split("##")[0].splitlines() if line}) == 1


def test_figures_are_whole_on_a_narrow_screen(tiny_runs, tmp_path):
    # Terminals and logs have 80 columns; "0.82..." does not show what a form lost.
    done = command_line(
        "export",
        "--formats",
        "all",
        "--debug-layers",
        tiny_runs / "detector",
        "--out",
        tmp_path / "bundle",
        "--report",
        tmp_path / "report.md",
        env={"COLUMNS": "80"},
    )
    assert done.returncode == 0 and "\u2026" not in done.stdout
    (row,) = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["map50"]]
    assert len(row) == 1 + 5 and all(float(value) > 0.9 for value in row[1:])


def test_report_that_cannot_be_written_is_an_error(result, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", result)


@pytest.mark.parametrize("name", ["report.pdf", "run.json/report.html", "folder.md"])
def test_invalid_report_path_is_refused_before_the_export(tiny_runs, tmp_path, name):
    (tmp_path / "folder.md").mkdir()
    (tmp_path / "run.json").write_text("")
    done = command_line(
        "export", "--int8", tiny_runs / "classifier", "--out", tmp_path / "b", "--report", tmp_path / name
    )
    assert done.returncode == 2 and "report" in done.stderr and not (tmp_path / "b").exists()


def test_markdown_has_its_examples_in_a_file_next_to_it(result, tmp_path):
    write_report(tmp_path / "told.md", result)
    sheet = cv2.imread(str(tmp_path / "told-examples.png"))
    assert sheet.shape == (2 * 16, 4 * 16, 3) and "](told-examples.png)" in (tmp_path / "told.md").read_text()


def test_layers_are_ordered_by_their_error(result, tiny_runs):
    bundle = Bundle.load(result.bundle)
    with np.load(tiny_runs / "classifier" / "calibration.npz") as calibration:
        images = pick_evenly(calibration["images"], 16)
    errors = layer_errors(bundle.read("fp32.tflite"), bundle.read("int8.tflite"), images)
    assert [error.relative for error in errors] == sorted((error.relative for error in errors), reverse=True)
    assert {error.op for error in errors} >= {"FULLY_CONNECTED"} and 0 <= errors[0].relative < 0.1
    assert layer_errors(bundle.read("fp32.tflite"), bundle.read("fp32.tflite"), images)[0].relative == 0
    assert [layer["layer"] for layer in result.manifest.export["layers"]] == [error.layer for error in errors]


def test_info_and_diff(result, tiny_models):
    plain = command_line("bundle", "info", result.bundle, env={"COLUMNS": "80"}).stdout
    assert "\u2026" not in plain and Bundle.load(result.bundle).hash[:40] in plain
    info = json.loads(command_line("bundle", "info", "--json", result.bundle).stdout)
    assert info["gates"].endswith("all passed") and "accuracy 1.0000" in info["variant onnx_int8"]
    assert info["signature"] == "none" and info["licence"] == "Apache-2.0"
    rows = json.loads(command_line("bundle", "diff", "--json", result.bundle, tiny_models / "galaxy-classifier").stdout)
    by_name = {row["what"]: row for row in rows}
    assert by_name["int8 bytes"]["change"] == "+0" and by_name["onnx_int8 bytes"]["second"] == "-"
    assert by_name["int8 accuracy"]["change"] == "+0.0000"


def test_forms_are_compared(result, tmp_path):
    for name in ("forms.md", "forms.json"):
        assert command_line("bundle", "forms", "--rounds", 2, "--out", tmp_path / name, result.bundle).returncode == 0
    rows = json.loads((tmp_path / "forms.json").read_text())["results"]
    assert [row["variant"] for row in rows] == ["fp32", "int8", "onnx_fp32", "onnx_int8"]
    assert all(row["min_ms"] > 0 and row["threads"] == 1 and row["accuracy"] == 1.0 for row in rows)
    assert rows[0]["accuracy_drop"] is None and rows[3]["accuracy_drop"] == 0.0 and rows[3]["agreement"] == 1.0
    assert rows[1]["goals"] == {
        "accuracy at most 0.005 less": True,
        "macro_f1 at most 0.005 less": True,
        "agreement at least 0.98": True,
    }
    text = (tmp_path / "forms.md").read_text()
    assert "| onnx_int8 | onnxruntime |" in text and "are not valid for another" in text


def test_variants_of_runs_are_built_and_compared(tiny_runs, tmp_path):
    # The fragile one loses everything in int8: a table that hid it would be worse than none.
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "galaxy_edge.benchmarks.performance.variants",
            tiny_runs / "fragile",
            tiny_runs / "detector",
            "--rounds",
            "2",
            "--out",
            tmp_path / "kept" / "forms.json",
            "--out",
            tmp_path / "kept" / "forms.md",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "kept" / "forms.json").read_text())["results"]
    by_name = {(row["bundle"], row["variant"]): row for row in rows}
    assert len(rows) == 4 + 5
    fragile = by_name["galaxy-classifier", "int8"]
    assert not fragile["gates_passed"] and not any(fragile["goals"].values()) and fragile["made"] == "nothing helped"
    assert by_name["galaxy-detector", "int8"]["goals"] == {"map50 at most 0.005 less": True}
    assert by_name["galaxy-detector", "postprocess"]["map50_drop"] is not None
    text = (tmp_path / "kept" / "forms.md").read_text()
    assert "**A gate failed.**" in text and "Every gate passed." in text and "(**missed**)" in text


def test_variants_of_an_invalid_run_are_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "galaxy_edge.benchmarks.performance.variants", tmp_path, "--out", tmp_path / "x.md"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "has no run.json" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "x.md").exists()


@pytest.mark.skipif(not KEPT_FORMS.is_file(), reason="no table of forms is kept")
def test_committed_table_is_that_of_the_shipped_bundles():
    # By the hash of each file: new weights need a new table.
    rows = json.loads(KEPT_FORMS.read_text(encoding="utf-8"))["results"]
    for name in ("galaxy-detector", "galaxy-classifier"):
        bundle = Bundle.load(shipped_bundle_path(name))
        kept = {row["variant"]: row["sha256"] for row in rows if row["bundle"] == name}
        for variant in bundle.variants.values():
            assert kept[variant.name] == bundle.manifest.files[variant.file]
