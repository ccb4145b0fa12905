"""Figures show the numbers of the data, or a clear error if there is nothing."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from galaxy_edge.models.classification_metrics import classification_metrics
from galaxy_edge.models.labels import CLASSES

pytest.importorskip("matplotlib")

from galaxy_edge.training.figures import plots
from galaxy_edge.training.figures.plots import (
    accuracy_coverage,
    compare_bars,
    confusion_matrix,
    learning_curves,
    pareto,
    reliability,
    reliability_bins,
)
from galaxy_edge.training.figures.style import PlotError


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Return a function that draws, checks the file and returns the figure's axes.

    A warning is an error.
    """
    figures, write = [], plots.write_figure
    monkeypatch.setattr(plots, "write_figure", lambda figure, path: (figures.append(figure), write(figure, path)))

    def draw(function, *arguments, **named):
        path = tmp_path / "new" / "figure.png"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            function(*(path if argument is Path else argument for argument in arguments), **named)
        assert [file.name for file in path.parent.iterdir()] == ["figure.png"], "no temporary file is left"
        assert cv2.imread(str(path)).std() > 5
        return figures[-1].axes

    return draw


def predictions(count=400, seed=0):
    """Return probabilities of nine classes, some uniform, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    powers = np.exp(rng.normal(size=(count, 9)) * rng.uniform(0, 5, (count, 1)))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    return probabilities, np.array([rng.choice(9, p=row) for row in probabilities])


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_reliability_bins_equal_those_of_scikit_learn():
    """An independent implementation checks the edges of the bins."""
    calibration = pytest.importorskip("sklearn.calibration")
    probabilities, labels = predictions()
    confidence, right, count = reliability_bins(probabilities, labels)
    is_correct = probabilities.argmax(axis=1) == labels
    expected, mean = calibration.calibration_curve(is_correct, probabilities.max(axis=1), n_bins=15)
    np.testing.assert_allclose(right[count > 0], expected)
    np.testing.assert_allclose(confidence[count > 0], mean)
    assert count.sum() == len(labels) and np.isnan(right[count == 0]).all()


def test_reliability_shows_the_reported_error(drawn):
    """The figure and the metrics must state the same calibration error."""
    probabilities, labels = predictions()
    sharper = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    upper, lower = drawn(reliability, sharper, probabilities, labels, Path)
    expected = [classification_metrics(values, labels, CLASSES).ece for values in (sharper, probabilities)]
    assert legend(upper)[1:] == [f"before (ECE {expected[0]:.3f})", f"after (ECE {expected[1]:.3f})"]
    assert [sum(patch.get_data().values) for patch in lower.patches] == [len(labels)] * 2


def test_learning_curves_of_a_resumed_run(drawn):
    """Epoch 2 was repeated, so its first line must not be drawn.

    The loss of epoch 3 is NaN and leaves a gap.
    """
    rows = [
        {"epoch": 1, "loss": 2.0, "macro_f1": 0.2, "time": "x"},
        {"epoch": 2, "loss": 9.0, "macro_f1": 0.9},
        {"epoch": 2, "loss": 1.5, "macro_f1": 0.3},
        {"epoch": 3, "loss": float("nan"), "macro_f1": None},
        {"epoch": 4, "loss": 1.0, "macro_f1": 0.5, "val_loss": 1.2},
    ]
    losses, scores = drawn(learning_curves, rows, Path)
    nan = float("nan")
    np.testing.assert_array_equal(losses.lines[0].get_xdata(), [1, 2, 3, 4])
    np.testing.assert_array_equal(losses.lines[0].get_ydata(), [2.0, 1.5, nan, 1.0])
    np.testing.assert_array_equal(losses.lines[1].get_ydata(), [nan, nan, nan, 1.2])
    np.testing.assert_array_equal(scores.lines[0].get_ydata(), [0.2, 0.3, nan, 0.5])
    assert legend(losses) == ["loss", "val loss"] and legend(scores) == ["macro F1"]


def test_learning_curves_of_one_epoch_without_scores(drawn):
    """A line of one point would be invisible."""
    (axes,) = drawn(learning_curves, [{"epoch": 1, "loss": 2.0}], Path)
    assert axes.lines[0].get_marker() == "o"


def test_confusion_matrix_is_coloured_by_row_and_shows_counts(drawn):
    """A class without images is an empty row that says so."""
    matrix = np.array([[6, 2, 0], [0, 0, 0], [1, 0, 3]])
    axes, _ = drawn(confusion_matrix, matrix.tolist(), ["a", "b_c", "d"], Path)  # metrics contain lists
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 0], [0.25, 0, 0.75]])
    written = {(int(text.get_position()[1]), int(text.get_position()[0])): int(text.get_text()) for text in axes.texts}
    assert written == {position: count for position, count in np.ndenumerate(matrix) if count}
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a (8)", "b c (0)", "d (4)"]


def test_threshold_is_marked_on_the_curve(drawn):
    """The legend states the coverage and accuracy of the marked point."""
    thresholds = np.array([0.0, 0.5, 0.8, 1.0])
    coverage, accuracy = np.array([1.0, 0.7, 0.4, 0.0]), np.array([0.7, 0.8, 0.95, np.nan])
    (axes,) = drawn(accuracy_coverage, coverage, accuracy, 0.5, Path, thresholds=thresholds)
    curve, mark = axes.lines
    np.testing.assert_array_equal(curve.get_xdata(), [0.4, 0.7, 1.0])
    assert (*mark.get_xdata(), *mark.get_ydata()) == (0.7, 0.8)
    assert legend(axes)[1] == "threshold 0.50: 70% classified, 80.0% correct"


def test_threshold_above_all_confidences_is_marked_on_the_curve(drawn):
    """The accuracy at that threshold is undefined.

    The nearest defined point is marked.
    """
    (axes,) = drawn(accuracy_coverage, [1.0, 0.0], [0.7, np.nan], 0.99, Path, thresholds=[0.0, 1.0])
    assert axes.lines[1].get_xdata().tolist() == [1.0]


def test_threshold_of_unknown_position_is_only_in_the_legend(drawn):
    """The position of a threshold is known only with the confidence of each point."""
    (axes,) = drawn(accuracy_coverage, [1.0, 0.5], [0.7, 0.9], 0.5, Path)
    assert legend(axes)[1] == "threshold 0.50"
    (axes,) = drawn(accuracy_coverage, [1.0, 0.5], [0.7, 0.9], None, Path)
    assert len(legend(axes)) == 1


def test_front_rises_with_the_cost(drawn):
    """The steps must be drawn in order of the cost, whatever the order of the trials."""
    points = [
        dict(cost=8e6, score=0.7, chosen=True, front=True),
        dict(cost=1e6, score=0.5, chosen=False, front=True),
        dict(cost=9e6, score=0.6, chosen=False, front=False),
        dict(cost=2e6, score=0.6, chosen=False, front=True),
    ]
    (axes,) = drawn(pareto, points, Path, "multiply-adds")
    rest, front, chosen = axes.lines
    assert front.get_xdata().tolist() == [1e6, 2e6, 8e6] and front.get_ydata().tolist() == [0.5, 0.6, 0.7]
    assert rest.get_xdata().tolist() == [9e6] and chosen.get_xdata().tolist() == [8e6]
    assert axes.get_xscale() == "log"


def test_front_of_one_trial(drawn):
    """A search that was stopped early still has a figure."""
    (axes,) = drawn(pareto, [dict(cost=5.0, score=0.5, chosen=False, front=True)], Path, "KiB")
    assert legend(axes) == ["trials (1)", "front"]


def test_bars_start_at_zero_and_show_their_spread(drawn):
    """Bars that do not start at zero exaggerate differences."""
    rows = [dict(name="a", mean=0.5, spread=0.02), dict(name="b", mean=0.6, spread=None)]
    (axes,) = drawn(compare_bars, rows, Path, "macro F1")
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 0.5), (0, 0.6)]
    assert [text.get_text() for text in axes.texts] == ["0.500 ± 0.020", "0.600"]
    assert axes.yaxis_inverted(), "the first row is on top"


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: learning_curves([], path),
        lambda path: learning_curves([{"time": "x"}, {"epoch": 1, "seconds": 3.0}], path),
        lambda path: confusion_matrix(np.zeros((2, 2)), ["a"], path),
        lambda path: reliability(np.zeros((0, 9)), np.zeros((0, 9)), np.zeros(0, int), path),
        lambda path: accuracy_coverage(np.ones(2), np.full(2, np.nan), 0.5, path),
        lambda path: accuracy_coverage(np.ones(2), np.ones(3), 0.5, path),
        lambda path: pareto([], path, "cost"),
        lambda path: compare_bars([], path, "score"),
    ],
)
def test_nothing_to_draw_is_an_error_and_keeps_the_old_figure(tmp_path, draw):
    """An empty figure would look like a result."""
    path = tmp_path / "figure.png"
    path.write_text("old")
    with pytest.raises(PlotError, match=r"figure\.png: "):
        draw(path)
    assert path.read_text() == "old"


def test_folder_that_cannot_be_written(tmp_path):
    """The message names the file."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PlotError, match="cannot be written"):
        compare_bars([dict(name="a", mean=1, spread=0)], tmp_path / "file" / "bars.png", "score")
