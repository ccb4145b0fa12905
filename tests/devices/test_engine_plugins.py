"""Engines of other packages: the documented example, and faulty packages."""

import shutil
import sys
import tomllib

import numpy as np
import pytest
from galaxy_edge.cli.options import ENGINES
from galaxy_edge.devices.engine_plugins import GROUP, plugin_names
from galaxy_edge.errors import UsageError
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.inference.golden import check_golden_at_start
from galaxy_edge.runtime.inference.load import load_engine
from helpers.paths import ROOT

EXAMPLE = ROOT / "docs" / "example_engine"


@pytest.fixture
def bundle():
    return Bundle.load(shipped_bundle_path("galaxy-classifier"))


def install(folder, monkeypatch, entries, name="example"):
    """Make a package with entry points visible, as an installed one is."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in entries.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    monkeypatch.syspath_prepend(str(folder))


def test_the_example_of_the_documentation_runs_a_shipped_network(tmp_path, monkeypatch, bundle):
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    install(tmp_path, monkeypatch, project["entry-points"][GROUP], project["name"])
    shutil.copy(EXAMPLE / "galaxy_edge_reference_engine.py", tmp_path)
    assert plugin_names() == ("litert-reference",)
    assert ENGINES.convert("litert-reference", None, None) == "litert-reference"
    engine, own = load_engine(bundle, "int8", "litert-reference"), load_engine(bundle, "int8")
    batch = bundle.golden()["inputs"][:1]
    for name, raw in engine(batch).items():
        assert np.argmax(raw.dequantize()) == np.argmax(own(batch)[name].dequantize())
    check_golden_at_start(bundle, "int8", engine)
    sys.modules.pop("galaxy_edge_reference_engine")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import missing_library_x", "cannot be loaded: No module named 'missing_library_x'"),
        ("engine = 3", "it is not callable"),
        ("def engine(*_): raise RuntimeError('no Hailo device is attached')", "no Hailo device is attached"),
        ("def engine(*_): return lambda batch: {}", "it must be callable and have its name"),
    ],
)
def test_a_faulty_plugin_is_one_line(tmp_path, monkeypatch, bundle, code, message):
    module = f"faulty_{abs(hash(code))}"
    (tmp_path / f"{module}.py").write_text(
        f"{code}\nif 'engine' in globals() and callable(engine): engine.runtime = 'tflite'\n"
    )
    install(tmp_path, monkeypatch, {"hailo": f"{module}:engine"})
    with pytest.raises(UsageError, match=message):
        load_engine(bundle, "int8", "hailo")


def test_a_name_that_two_packages_have_is_refused(tmp_path, monkeypatch, bundle):
    install(tmp_path, monkeypatch, {"hailo": "a:b"}, "first")
    install(tmp_path, monkeypatch, {"hailo": "a:b"}, "second")
    with pytest.raises(UsageError, match="in several packages"):
        load_engine(bundle, "int8", "hailo")
    with pytest.raises(UsageError, match=r"unknown engine 'ncnn'; known: litert, .*hailo"):
        load_engine(bundle, "int8", "ncnn")
