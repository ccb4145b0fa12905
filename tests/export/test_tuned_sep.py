"""SEP with fitted trees.

Numpy evaluates them as scikit-learn does, and the constant boxes are those of their situation.
"""

import numpy as np
import pytest

pytest.importorskip("sep", reason="needs the export extra")
from galaxy_edge.export.baselines import centre_box, centre_boxes
from galaxy_edge.export.tuned_sep import FEATURES, Trees, fitted, tuned_sources
from galaxy_edge.training.formats.read_set import read_set
from helpers.labelled_sets import make_sets


def test_trees_give_what_scikit_learn_gives():
    ensemble = pytest.importorskip("sklearn.ensemble")
    from galaxy_edge.benchmarks.accuracy.fit_baselines import TREES, _plain

    rng = np.random.default_rng(2)
    features = rng.normal(size=(300, 4))
    values = features[:, 0] * features[:, 1] + 0.1 * rng.normal(size=300)
    model = ensemble.GradientBoostingRegressor(**TREES | {"n_estimators": 12}, random_state=1).fit(features, values)
    trees = Trees.from_dict(_plain(model.estimators_[:, 0], float(model.init_.predict(features[:1])[0])))
    assert trees(features) == pytest.approx(model.predict(features), abs=1e-3)
    assert trees(features[:0]).shape == (0,)


def test_a_galaxy_among_stars_is_found_first():
    """The sources are measured at one size, so that boxes scale with the image."""
    assert len(fitted()["features"]) == len(FEATURES)
    rows, columns = np.mgrid[:448, :448]
    light = np.random.default_rng(3).normal(14, 3, (448, 448))
    light += 140 * np.exp(-np.hypot((columns - 150) / 1.6, rows - 300) / 20)
    for x, y in ((60, 60), (350, 90), (330, 380), (90, 180)):
        light += 230 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    image = np.repeat(np.clip(light, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    ((boxes, scores),) = tuned_sources(image[None])
    centre = (boxes[0, :2] + boxes[0, 2:]) / 2
    assert centre == pytest.approx([150, 300], abs=8) and scores[0] > 0.5
    assert (np.diff(scores) <= 0).all() and boxes.min() >= 0 and boxes.max() <= 448
    ((none, _),) = tuned_sources(np.zeros((1, 100, 100, 3), np.uint8))
    assert not len(none)


def test_the_constant_box_is_fitted_per_situation():
    """A box that is not fitted has the median size of the boxes themselves."""
    images, boxes = np.zeros((2, 200, 200, 3), np.uint8), np.array([[0, 0, 40, 60], [0, 0, 40, 60]], float)
    ((own, _), _) = centre_box(images, boxes, "a set of one's own")
    assert own[0] == pytest.approx([80, 70, 120, 130])
    ((survey, _), (other, _)) = centre_boxes(images, boxes, np.array([0, 1]), np.array(["gz_frames", "else"]))
    assert survey[0, 2:] - survey[0, :2] == pytest.approx(200 * np.array(fitted()["centre_box"]["gz_frames"]))
    assert other[0] == pytest.approx(own[0])


def test_thresholds_are_chosen_on_frames_that_their_trees_are_not_fitted_on(tmp_path, monkeypatch):
    """Trees know the sources that they were fitted on."""
    pytest.importorskip("sklearn", reason="needs the train extra")
    pytest.importorskip("pycocotools", reason="needs the bench extra")
    from galaxy_edge.benchmarks.accuracy import fit_baselines

    monkeypatch.setattr(fit_baselines, "SCENES", {"composed": 12})
    fits, fit_trees = [], fit_baselines._fit_trees
    monkeypatch.setattr(fit_baselines, "_fit_trees", lambda samples: fits.append(samples) or fit_trees(samples))
    measured_on, thresholds = [], fit_baselines._thresholds
    monkeypatch.setattr(
        fit_baselines, "_thresholds", lambda samples, trees: measured_on.extend(samples) or thresholds(samples, trees)
    )
    samples = read_set(make_sets(tmp_path, survey=30, deepsky=8, fields=8))
    result = fit_baselines.fit(samples)
    first, final = fits
    assert {sample.digest() for sample in first}.isdisjoint(sample.digest() for sample in measured_on)
    assert len(first) + len(measured_on) == len(samples) == len(final) and len(measured_on) < len(first)
    assert result.keys() == fitted().keys()
    assert result["thresholds"].keys() == {"sep", "sep_tuned"}
    assert all(0 < value < 1 for value in result["thresholds"].values())
