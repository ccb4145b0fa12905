"""The figures of the sizes, and the package with nano and base.

The figures are those of the networks that are shipped.
"""

import json
import shutil
import subprocess
import sys
import zipfile

import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.sizes import measured_figures
from helpers.command_line import galaxy_edge
from helpers.paths import ROOT

MORE_SIZES = ROOT / "models" / "more_sizes"
NETWORKS = {"galaxy-classifier", "galaxy-detector", "galaxy-detector-raw"}


@pytest.mark.parametrize("size", ["nano", "small", "base"])
def test_figures_are_of_the_networks(size):
    """After a network was replaced, run benchmarks.performance.sizes."""
    for network, row in measured_figures()[size].items():
        own = MORE_SIZES / size / f"galaxy-{network}"
        bundle = Bundle.load(shipped_bundle_path(own.name) if size == "small" else own)
        assert row["hash"] == bundle.hash
        assert row["macs"] == bundle.manifest.network.macs
        assert row["accuracy"]["low"] < row["accuracy"]["value"] < row["accuracy"]["high"]


def test_sizes_are_listed():
    listed = galaxy_edge("models", "list")
    assert listed.returncode == 0 and "small: in this package" in listed.stdout
    sizes = json.loads(galaxy_edge("models", "list", "--json").stdout)["sizes"]
    assert [size["size"] for size in sizes] == ["nano", "small", "base"]
    assert set(sizes[1]["networks"]) == {"classifier", "detector"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the package with the other sizes; return where it is installed."""
    folder = tmp_path_factory.mktemp("more-sizes")
    source = shutil.copytree(MORE_SIZES, folder / "source", symlinks=False, ignore=shutil.ignore_patterns("build"))
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, source]
    subprocess.run(build, capture_output=True, check=True, timeout=300)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


@pytest.mark.parametrize("size", ["nano", "base"])
def test_the_package_with_the_other_sizes_is_complete(installed, size):
    folder = installed / "galaxy_edge_networks" / size
    assert {path.name for path in folder.iterdir()} == NETWORKS
    for name in NETWORKS:
        assert Bundle.load(folder / name).name == name
    env = {"PYTHONPATH": str(installed), "XDG_DATA_HOME": str(installed), "XDG_DATA_DIRS": str(installed)}
    listed = galaxy_edge("models", "list", env=env)
    assert listed.returncode == 0 and f"{size}: in " in listed.stdout and "not installed" not in listed.stdout
    run = galaxy_edge(
        "run", "--camera", "demo", "--size", size, "--max-frames", "2", "--no-report", cwd=folder, env=env
    )
    assert run.returncode == 0, run.stderr
