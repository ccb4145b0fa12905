"""Ensemble weights equal an exhaustive search's, and do nothing without a gain."""

from itertools import product

import numpy as np
import pytest
from galaxy_edge.training.study.ensemble_weights import blend, find_weights


def model(seed, labels, sure, classes=4):
    """A model with errors of its own; `sure` is how much it knows."""
    rng = np.random.default_rng([seed, 3])
    logits = rng.normal(0, 1, (len(labels), classes)) + sure * np.eye(classes)[labels]
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


LABELS = np.random.default_rng(0).integers(0, 4, 500)
MODELS = [model(seed, LABELS, sure) for seed, sure in ((1, 1.6), (2, 1.2), (3, 0.6))]


def judge(probabilities, labels=LABELS):
    """Macro F1 by sklearn, then minus the log loss."""
    metrics = pytest.importorskip("sklearn.metrics")
    f1 = metrics.f1_score(labels, probabilities.argmax(axis=1), average="macro")
    return round(f1, 12), -metrics.log_loss(labels, probabilities)


def test_blend_is_the_weighted_mean():
    wanted = 0.6 * MODELS[0] + 0.4 * MODELS[1]
    assert blend(MODELS[:2], [0.6, 0.4]) == pytest.approx(wanted)
    assert blend(MODELS[:2], [3, 2]) == pytest.approx(wanted)  # only the ratio counts
    assert blend(MODELS, [1, 1, 1]).sum(axis=1) == pytest.approx(1)


def test_two_models_get_the_best_weights_of_the_grid():
    weights = find_weights(MODELS[:2], LABELS)
    best = max(judge(blend(MODELS[:2], [1 - other, other])) for other in np.arange(21) / 20)
    assert judge(blend(MODELS[:2], weights)) == pytest.approx(best)
    assert weights.sum() == pytest.approx(1)
    assert weights * 20 == pytest.approx(np.round(weights * 20))
    assert best[0] > max(judge(model)[0] for model in MODELS[:2])  # two that err apart are better together


def test_three_models_reach_the_best_of_all_combinations():
    # The slow way: all of them. A climb may miss the very best, but not by more than one image of 500 or so.
    grid = [weights for weights in product(range(11), repeat=3) if sum(weights) == 10]
    best = max(judge(blend(MODELS, weights)) for weights in grid)
    found = find_weights(MODELS, LABELS, step=0.1)
    assert found.sum() == pytest.approx(1)
    assert judge(blend(MODELS, found))[0] >= best[0] - 0.0025
    assert judge(blend(MODELS, found)) >= max(judge(model) for model in MODELS)


def test_model_that_knows_nothing_gets_no_weight():
    # All decisions are those of the good model while its weight prevails, so only the log loss differs.
    useless = np.full((500, 4), 0.25)
    sharp = 0.97 * np.eye(4)[LABELS] + 0.0075
    assert find_weights([useless, sharp], LABELS).tolist() == [0, 1]
    assert find_weights([useless, sharp, useless], LABELS).tolist() == [0, 1, 0]


def test_single_model_has_weight_one():
    assert find_weights(MODELS[:1], LABELS).tolist() == [1]


def test_order_of_two_models_does_not_matter():
    assert find_weights(MODELS[1::-1], LABELS) == pytest.approx(find_weights(MODELS[:2], LABELS)[::-1])


def test_mismatched_arguments_are_refused():
    for weights in ([1], [1, -1], [0, 0], [1, np.nan]):
        with pytest.raises(ValueError, match="weights"):
            blend(MODELS[:2], weights)
    with pytest.raises(ValueError, match="one shape"):
        blend([MODELS[0], MODELS[1][:10]], [1, 1])
    with pytest.raises(ValueError, match="one shape"):
        blend([], [])
    for step in (0.3, 0, -0.1, 2):
        with pytest.raises(ValueError, match="divide 1"):
            find_weights(MODELS, LABELS, step)
    with pytest.raises(ValueError, match="do not fit"):
        find_weights(MODELS, LABELS[:10])
    with pytest.raises(ValueError, match="do not fit"):
        find_weights([], LABELS)
