"""Fixtures of the export tests."""

import pytest
from galaxy_edge.export.bundle import export_run
from galaxy_edge.export.settings import Settings


@pytest.fixture(scope="session")
def foreign(tiny_runs, tmp_path_factory):
    """A folder with every variant of the tiny detector and its labels, used as third-party files."""
    folder = tmp_path_factory.mktemp("foreign") / "bundle"
    assert export_run(tiny_runs / "detector", folder, Settings(("all",))).passed
    (folder / "labels.txt").write_text("galaxy\n")
    return folder
