"""Main effects of a table, checked against least squares."""

import itertools

import numpy as np
import pytest
from galaxy_edge.benchmarks.study.factor_effects import main_effects

stats = pytest.importorskip("scipy.stats")

FACTORS = ["dropout", "l1l2", "batch_norm"]
SEEDS = [1, 2, 3]


@pytest.fixture(scope="module")
def trainings():
    """Return the signs (24, 3) of the factors and the macro F1 (24,).

    There are three trainings of each combination.
    """
    rng = np.random.default_rng(5)
    signs = np.repeat(np.array(list(itertools.product((-1, 1), repeat=3))), len(SEEDS), axis=0)
    return signs, 0.7 + signs @ [0.01, -0.002, 0.0] + rng.normal(0, 0.01, len(signs))


@pytest.fixture(scope="module")
def rows(trainings):
    signs, scores = trainings
    found = []
    for number in range(0, len(signs), len(SEEDS)):
        names = [name for name, sign in zip(FACTORS, signs[number], strict=True) if sign > 0]
        own = scores[number : number + len(SEEDS)]
        found.append({"name": "+".join(names) or "bigger", "f1": own.mean(), "f1_sd": own.std(ddof=1), "seeds": SEEDS})
    return [*found, {"name": "simple", "f1": 0.1, "f1_sd": 0.5, "seeds": SEEDS}]


def test_effects_and_intervals_equal_those_of_least_squares(trainings, rows):
    signs, scores = trainings
    subsets = [chosen for n in range(4) for chosen in itertools.combinations(range(3), n)]
    design = np.stack([signs[:, list(chosen)].prod(axis=1) for chosen in subsets], axis=1)
    coefficients, residual, _, _ = np.linalg.lstsq(design, scores, rcond=None)
    freedom = len(scores) - design.shape[1]
    errors = np.sqrt(residual[0] / freedom * np.linalg.inv(design.T @ design).diagonal())
    half = stats.t.ppf(0.975, freedom) * errors
    effects = main_effects(rows, FACTORS)
    for number, name in enumerate(FACTORS):
        column = subsets.index((number,))
        low, high = coefficients[column] - half[column], coefficients[column] + half[column]
        assert effects[name] == pytest.approx((2 * coefficients[column], 2 * low, 2 * high))
    assert effects["dropout"][1] > 0 > effects["batch_norm"][1]


def test_nothing_is_said_of_an_incomplete_table(rows):
    assert main_effects(rows[1:], FACTORS) == {}
    assert main_effects([row | {"seeds": [1], "f1_sd": 0.0} for row in rows], FACTORS) == {}
    assert main_effects([rows[0] | {"seeds": [1, 2]}, *rows[1:]], FACTORS) == {}
