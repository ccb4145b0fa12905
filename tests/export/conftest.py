"""Fixtures of the export tests."""

import pytest
from galaxy_edge.export.bundle import export_run
from galaxy_edge.export.settings import Settings


@pytest.fixture(scope="session")
def foreign(tiny_runs, tmp_path_factory):
    """Return a folder with all variants of the tiny detector as third-party files.

    Its labels are there too.
    """
    folder = tmp_path_factory.mktemp("foreign") / "bundle"
    assert export_run(tiny_runs / "detector", folder, Settings(("all",))).passed
    (folder / "labels.txt").write_text("galaxy\n")
    return folder
