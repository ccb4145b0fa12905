"""`galaxy-edge simulate` as a user runs it."""

import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.errors import UsageError
from helpers.star_index import write_star_index


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command with a small star catalogue, and return what click reports."""
    write_star_index(tmp_path / "index.fits", [192.7, 192.8], [41.1, 41.2], [9.0, 10.0])
    monkeypatch.setenv("GALAXY_EDGE_TYCHO2", str(tmp_path / "index.fits"))
    return lambda *arguments: CliRunner().invoke(cli, ["simulate", *arguments, "--out", str(tmp_path / "out")])


def test_a_target_is_found_by_its_name(run, tmp_path):
    done = run("--target", "ngc4736", "--frames", "1", "--new-star", "12")
    assert done.exit_code == 0, done.exception
    assert "1 frames, truth.ecsv and frames.ecsv" in done.output
    assert len(list((tmp_path / "out").glob("M94_10s_*.fit"))) == 1
    assert "new star" in (tmp_path / "out" / "truth.ecsv").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--ra and --dec"),
        (("--ra", "10"), "--ra and --dec"),
        (("--target", "M 94", "--ra", "10"), "not both"),
        (("--target", "NGC 99999"), "not in the catalogue"),
    ],
)
def test_a_field_that_is_not_given_is_asked_for(run, arguments, message):
    done = run(*arguments)
    assert isinstance(done.exception, UsageError) and message in str(done.exception)


def test_a_missing_star_catalogue_says_what_to_install(run, monkeypatch):
    monkeypatch.setenv("GALAXY_EDGE_TYCHO2", "/nowhere/index.fits")
    done = run("--ra", "10", "--dec", "20")
    assert "sudo apt install astrometry-data-tycho2-07-littleendian" in str(done.exception)
