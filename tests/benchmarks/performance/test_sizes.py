"""Figures of the sizes: a size may have only one network of its own."""

import shutil

import pytest
from galaxy_edge.benchmarks.performance import sizes
from galaxy_edge.errors import UsageError
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from helpers.paths import ROOT

RESULTS = ROOT / "training" / "results"


def test_a_size_with_a_detector_alone_has_its_figures_alone(tmp_path, monkeypatch):
    """The emulator is replaced: its counts are those of the bundles it is given."""
    monkeypatch.setattr(sizes, "count_networks", lambda paths, qemu, root, cpu: [len(paths) * 10.0])
    shutil.copytree(shipped_bundle_path("galaxy-detector"), tmp_path / "galaxy-detector")
    rows = sizes.figures(tmp_path, "small", RESULTS, tmp_path, tmp_path)
    assert list(rows) == ["detector"]
    assert rows["detector"]["hash"] == Bundle.load(tmp_path / "galaxy-detector").hash
    assert rows["detector"]["instructions"] == {"cortex-a72": 10.0, "cortex-a76": 10.0}
    assert rows["detector"]["accuracy"]["metric"] == "AP50"


def test_a_folder_without_networks_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="has neither galaxy-classifier nor galaxy-detector"):
        sizes.figures(tmp_path, "base", RESULTS, tmp_path, tmp_path)
