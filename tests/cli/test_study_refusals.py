"""Commands of the study refuse wrong settings before anything is written."""

import pytest
from helpers.command_line import galaxy_edge

pytest.importorskip("tensorflow", reason="needs the train extra")


@pytest.mark.parametrize(("words", "message"), [
    (("compare", "simple", "--seeds", "1,1"), "names a seed twice: 1,1"),
    (("compare", "simple", "--seeds", "1,-2"), "-2 is not in the range"),
    (("search", "--seed", "4294967296"), "4294967296 is not in the range"),
    (("compare-detectors", "nano", "--core-hours", "nan"), "is not a finite number"),
    (("compare-detectors", "nano"), "give the budget either as --scenes or as --core-hours"),
    (("evaluate", "../elsewhere", "run"), "'../elsewhere' is not the name of a result"),
    (("evaluate", "sub/dir", "run"), "write letters and digits, not a path"),
    (("evaluate", " ", "run"), "is not the name of a result"),
    (("transfer", "--weights", "nosuch"), "--weights nosuch does not exist: give a file, imagenet or none"),
])  # fmt: skip
def test_wrong_settings_are_refused_before_anything_is_written(words, message, tmp_path):
    option = "--results" if words[0] == "evaluate" else "--out"
    done = galaxy_edge("study", *words, "--data", tmp_path, option, tmp_path / "out")
    assert done.returncode == 2 and message in done.stderr and not (tmp_path / "out").exists()


def test_saved_results_are_not_replaced_without_a_word(tmp_path):
    """Rows of hours of measurements were gone."""
    (tmp_path / "detectors.json").write_text("{}")
    done = galaxy_edge("study", "evaluate-detectors", "a=run", "--results", tmp_path, "--data", tmp_path)
    assert done.returncode == 2 and "holds results already: --add adds to them" in done.stderr
    done = galaxy_edge("study", "evaluate-detectors", "a=run", "a=other", "--results", tmp_path, "--data", tmp_path)
    assert done.returncode == 2 and "the title 'a' is given twice" in done.stderr


def test_report_of_a_folder_that_does_not_exist_is_refused(tmp_path):
    """A typing error gave an empty page in a new folder."""
    done = galaxy_edge("study", "report", "--results", tmp_path / "typo")
    assert done.returncode == 2 and "typo does not exist" in done.stderr and not (tmp_path / "typo").exists()
