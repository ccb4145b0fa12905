"""The operating threshold of a detector follows `--min-precision`."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.export.bundle import export_run
from galaxy_edge.export.errors import ExportUsage
from galaxy_edge.export.settings import Settings
from galaxy_edge.models.bundle import Bundle

FAINT, FALSE, BRIGHT = 150, 200, 240
"""Brightness of cells, which the tiny detector scores: galaxies, something else, galaxies."""


@pytest.fixture
def run(tiny_runs, tmp_path):
    """Return a run whose evaluation has 20 galaxies.

    Half of them are fainter than something else in 4 of the frames.
    """
    folder = tmp_path / "run"
    shutil.copytree(tiny_runs / "detector", folder)
    data = dict(np.load(folder / "evaluation.npz"))
    for frame, (image, box) in enumerate(zip(data["images"], data["boxes"], strict=True)):
        column, row = (box[:2].astype(int) + 4) // 8
        image[:] = 10
        paint(image, row, column, FAINT if frame % 4 < 2 else BRIGHT)
        if frame in (0, 1, 4, 5):
            paint(image, row, 1 if column > 3 else 6, FALSE)
    np.savez_compressed(folder / "evaluation.npz", **data)
    return folder


def paint(image, row, column, level):
    image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = level


def test_a_higher_precision_costs_the_galaxies_that_are_fainter_than_something_false(run, tmp_path):
    measured = {}
    for wanted in ("0.8", "1"):
        out = tmp_path / wanted
        done = CliRunner().invoke(cli, ["export", str(run), "--int8", "--min-precision", wanted, "--out", str(out)])
        assert done.exit_code == 0, done.output
        manifest = Bundle.load(out).manifest
        assert manifest.export["min_precision"] == float(wanted)
        of_int8 = manifest.metrics["int8"]
        measured[wanted] = (round(of_int8["precision"], 3), of_int8["recall"], manifest.decode.score_threshold)
    (loose, all_found, low), (strict, half_found, high) = measured.values()
    assert (loose, all_found) == (0.833, 1.0) and (strict, half_found) == (1.0, 0.5) and low < high


def test_a_precision_over_one_is_refused(run):
    done = CliRunner().invoke(cli, ["export", str(run), "--int8", "--min-precision", "97"])
    assert done.exit_code == 2 and "97 is not in the range 0<=x<=1" in done.output.replace("97.0", "97")


def test_a_classifier_has_no_such_precision(tiny_runs):
    with pytest.raises(ExportUsage, match="min-precision is for detectors; this is a classifier"):
        export_run(tiny_runs / "classifier", None, Settings(min_precision=0.97))
