"""What a start imports.

Every module costs time on a small board, and is noticed by its name here, not by a clock.
"""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import COMMANDS, GROUPS, cli

SCRIPT = """
import json, sys
before = set(sys.modules)
from galaxy_edge.cli.main import main
sys.argv = ["galaxy-edge", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
names = sorted(set(sys.modules) - before)
print(json.dumps({
    "own": [name.removeprefix("galaxy_edge.") for name in names if name.startswith("galaxy_edge.")],
    "third": sorted({name.split(".")[0] for name in names} - {"galaxy_edge", *sys.stdlib_module_names}),
    "standard": [name for name in names if name in ("argparse", "zipfile", "importlib.resources", "unicodedata", "secrets")],
}))
"""


def start(*arguments: str) -> dict[str, list[str]]:
    """Run a command in a process of its own; return the modules that it imported."""
    command = [sys.executable, "-c", SCRIPT, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("start") / "out"
    return start("run", "--camera", "demo", "--max-frames", "2", "--no-report", "--out", str(out))


def test_help_imports_no_command():
    found = start("--help")
    assert found["third"] == ["click"]
    assert not {f"cli.{module}" for module in COMMANDS} & set(found["own"])
    assert {name.split(".")[0] for name in found["own"]} <= {"cli", "devices", "errors", "runtime"}


def test_help_lists_every_command_in_one_line():
    """Commands stand under headings: a newcomer's come first."""
    text = CliRunner().invoke(cli, ["--help"], terminal_width=80).output.split(f"{next(iter(GROUPS))}:\n")[1]
    listed = [line for line in text.splitlines() if line and not line.endswith(":")]
    names = [line.split()[0] for line in listed]
    assert sorted(names) == sorted(cli.commands) and all(len(line) <= 80 and line.endswith(".") for line in listed)
    assert all(cli.get_command(click.Context(cli), name) for name in names)


def test_run_imports_the_packages_that_it_needs(demo_run):
    engine = {"ai_edge_litert", "ai_edge_litert_sdk_intel", "tflite_runtime"} & set(demo_run["third"])
    assert engine
    assert set(demo_run["third"]) - engine == {"click", "cv2", "numpy", "rich"}


def test_run_imports_no_other_command(demo_run):
    commands = {name for name in demo_run["own"] if name.startswith("cli.") and not name.startswith("cli.terminal")}
    assert commands == {
        "cli.main", "cli.command_groups", "cli.options", "cli.run", "cli.service_options", "cli.settings",
    }  # fmt: skip


def test_run_imports_what_its_options_and_source_need(demo_run):
    """The demo has no web page, no broker, no FITS, no stack and no raw frames.

    A folder of images is not read.
    """
    own = set(demo_run["own"])
    assert {name.split(".")[0] for name in own} == {"cli", "devices", "errors", "files", "models", "runtime", "sky"}
    assert {name for name in own if name.startswith("sky.")} == {"sky.kinds", "sky.position"}, (
        "its note says why there is none"
    )
    unneeded = ("runtime.web", "runtime.mqtt", "runtime.notify", "runtime.imaging.stacking", "runtime.inference.raw_detector",
                "runtime.inference.onnx_engine", "runtime.inference.sandbox", "runtime.monitoring.window",
                "runtime.pipeline.serial", "runtime.pipeline.trace", "runtime.recording.fits_writer",
                "runtime.sources.image_files", "runtime.sources.camera", "models.images.fits_reader",
                "models.images.dng", "models.images.tiff", "models.images.mosaic", "models.signature",
                "models.raw.front_end", "models.raw.view_fusion")  # fmt: skip
    assert sorted(own & set(unneeded)) == []
    assert len(own) <= 121, (
        "a start imports more modules than before: import what most runs do not need where it is used"
    )


def test_run_imports_no_slow_module_of_the_standard_library(demo_run):
    """Only the networks' golden inputs, computed first, are in an archive."""
    assert demo_run["standard"] == ["zipfile"]


def test_a_manifest_is_read_without_numpy():
    """`bundle info` and the checks of a download read manifests and hashes only."""
    script = "import sys, galaxy_edge.models.bundle; print('numpy' in sys.modules, 'tomllib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
