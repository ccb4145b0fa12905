"""The difference of two networks on the same images is checked against sklearn."""

import numpy as np
import pytest
from galaxy_edge.training.study.paired_difference import macro_f1_difference


def test_difference_of_macro_f1_is_that_of_sklearn_with_the_interval_of_paired_draws():
    f1_score = pytest.importorskip("sklearn.metrics").f1_score
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 300)
    before = np.where(rng.random(300) < 0.7, labels, rng.integers(0, 4, 300))
    after = np.where(rng.random(300) < 0.2, labels, before)  # only corrects
    found, low, high = macro_f1_difference(before, after, labels, 4)
    assert found == pytest.approx(f1_score(labels, after, average="macro") - f1_score(labels, before, average="macro"))
    draws = rng.integers(0, 300, (1000, 300))
    changes = [f1_score(labels[d], after[d], average="macro") - f1_score(labels[d], before[d], average="macro")
               for d in draws]  # fmt: skip
    assert (low, high) == pytest.approx(np.quantile(changes, [0.025, 0.975]), abs=0.006)
    assert 0 < low < found < high
    assert macro_f1_difference(before, before, labels, 4) == (0, 0, 0)
