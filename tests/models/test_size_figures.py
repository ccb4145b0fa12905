"""The measured figures of the sizes are those of the networks that are shipped."""

import json

from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.sizes import measured_figures
from helpers.command_line import galaxy_edge


def test_figures_are_of_the_shipped_networks():
    """After a network was replaced, run benchmarks.performance.sizes."""
    for network, row in measured_figures()["small"].items():
        bundle = Bundle.load(shipped_bundle_path(f"galaxy-{network}"))
        assert row["hash"] == bundle.hash
        assert row["macs"] == bundle.manifest.network.macs
        assert row["accuracy"]["low"] < row["accuracy"]["value"] < row["accuracy"]["high"]


def test_sizes_are_listed():
    listed = galaxy_edge("models", "list")
    assert listed.returncode == 0 and "small: in this package" in listed.stdout
    sizes = json.loads(galaxy_edge("models", "list", "--json").stdout)["sizes"]
    assert [size["size"] for size in sizes] == ["nano", "small", "base"]
    assert set(sizes[1]["networks"]) == {"classifier", "detector"}
