"""`galaxy-edge study search`: on which data a search may be resumed."""

import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli

pytest.importorskip("optuna", reason="needs the study extra")

from galaxy_edge.training.classifier.dataset_files import load_dataset
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.search import search
from helpers.two_sources import write_two_sources


def test_the_hash_is_of_the_images_that_the_trials_load(tmp_path, monkeypatch):
    """Images with a coarse group only are trained on too; a change was not noticed."""
    found = []
    monkeypatch.setattr(search, "search", lambda *_, about, **__: found.append(about))
    monkeypatch.setattr("galaxy_edge.cli.search._print_front", lambda *_: None)
    data = write_two_sources(tmp_path)
    table = data / "gz/index.csv"
    for text in (table.read_text(), table.read_text().replace(",-1,edge_on,", ",-1,smooth,")):
        table.write_text(text)
        done = CliRunner().invoke(cli, ["study", "search", "--data", str(data), "--out", str(tmp_path / "out")])
        assert done.exit_code == 0, done.output
        assert found[-1]["data"] == load_dataset(data).hash, "as searches of earlier versions recorded it"
        assert found[-1]["loaded"] == load_dataset(data, unnamed=True).hash
    assert found[0]["data"] == found[1]["data"] and found[0]["loaded"] != found[1]["loaded"]


def test_labels_of_one_class_are_refused_before_the_search_is_recorded(tmp_path):
    """Corrected labels were refused in the same folder."""
    data = write_two_sources(tmp_path)
    for table in data.rglob("*.csv"):
        lines = table.read_text().splitlines()
        label = lines[0].split(",").index("g10")
        rows = [line.split(",") for line in lines]
        kept = [row for row in rows[1:] if row[label] == rows[1][label]]
        table.write_text("\n".join(",".join(row) for row in [rows[0], *kept]) + "\n")
    done = CliRunner().invoke(cli, ["study", "search", "--data", str(data), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, DataError), done.output
    assert not (tmp_path / "out").exists()
