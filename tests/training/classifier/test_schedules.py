"""Cosine cycles with restarts, and a plateau schedule identical to Keras'."""

import numpy as np
import pytest
from galaxy_edge.training.classifier.schedules import Cycles, Plateau, learning_rate


def test_learning_rate_restarts_each_cycle():
    rates = [learning_rate(step, 2000, (3e-3, 2e-3)) for step in range(2000)]
    assert max(rates[:1000]) == pytest.approx(3e-3, rel=0.05) and max(rates[1000:]) == pytest.approx(2e-3, rel=0.05)
    assert rates[0] < 1e-4 and rates[999] < 1e-4 and rates[1999] < 1e-4


def test_a_cycle_without_warming_up_is_the_cosine_of_keras():
    keras = pytest.importorskip("keras")
    decay = keras.optimizers.schedules.CosineDecay(2e-3, 300, alpha=0.01)
    for step in range(0, 300, 7):
        assert learning_rate(step, 300, (2e-3,), warm=1) == pytest.approx(float(decay(step)), rel=1e-4)


def test_short_cycles_warm_up_over_a_fifth_of_them():
    # A hundred steps of warm-up would eat a cycle of fifty whole.
    rates = [learning_rate(step, 50, (1e-3,)) for step in range(50)]
    assert np.argmax(rates) == 9
    assert rates[0] == pytest.approx(1e-4, rel=0.01)


def test_only_the_last_cycle_is_plain():
    cycles = Cycles((3e-3, 2e-3, 1e-3), steps=10, epochs=9)
    assert [cycles.is_last_cycle(epoch) for epoch in range(9)] == [False] * 6 + [True] * 3
    assert cycles.rate(45) == learning_rate(45, 90, (3e-3, 2e-3, 1e-3))
    # Weights are the last ones and the length is fixed, whatever validation says.
    assert not cycles.update(0.0) and not cycles.is_over


def by_keras(losses, first, factor, patience, stop_after):
    """Drive the two callbacks by hand.

    The rate of every epoch until the stop, and the epoch of the best weights.
    """
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(first))
    stopping = keras.callbacks.EarlyStopping(mode="min", patience=stop_after, restore_best_weights=True)
    falling = keras.callbacks.ReduceLROnPlateau(
        mode="min", factor=factor, patience=patience, min_delta=0, cooldown=0, min_lr=1e-6
    )
    for callback in (falling, stopping):
        callback.set_model(model)
        callback.on_train_begin()
    rates = []
    for epoch, loss in enumerate(losses):
        rates.append(float(model.optimizer.learning_rate))
        for callback in (falling, stopping):
            callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            break
    return rates, stopping.best_epoch


def by_plateau(losses, plateau, start=0):
    rates, best = [], None
    for epoch, loss in enumerate(losses[start:], start):
        if plateau.is_over:
            break
        rates.append(plateau.rate(7 * epoch))
        best = epoch if plateau.update(loss) else best
    return rates, best


def wandering(seed, count=60):
    """Losses that fall and stall.

    Of two digits, so that some equal the best, which is no gain.
    """
    rng = np.random.default_rng([seed, 12])
    return np.round(2 * np.exp(-np.arange(count) / 12) + rng.normal(0, 0.15, count) + 0.5, 2).tolist()


@pytest.mark.parametrize(("patience", "stop_after", "factor"), [(5, 12, 0.2), (1, 30, 0.1), (3, 3, 0.5), (4, 1, 0.5)])
@pytest.mark.parametrize("seed", range(4))
def test_plateau_is_what_the_callbacks_of_keras_do(seed, patience, stop_after, factor):
    losses = wandering(seed)
    rates, best = by_plateau(losses, Plateau(1e-3, factor, patience, stop_after))
    expected, expected_best = by_keras(losses, 1e-3, factor, patience, stop_after)
    assert len(rates) == len(expected) and best == expected_best
    assert rates == pytest.approx(expected, rel=1e-5)  # Keras counts in float32


def test_rate_has_a_minimum():
    # Nothing ever gets better: the rate comes to its floor, as min_lr of Keras has it.
    losses = [1.0] * 30
    rates, _ = by_plateau(losses, Plateau(1e-3, 0.1, 2, 100))
    assert rates == pytest.approx(by_keras(losses, 1e-3, 0.1, 2, 100)[0], rel=1e-5)
    assert rates[-1] == pytest.approx(1e-6) and rates[0] == 1e-3


@pytest.mark.parametrize("stop", [0, 1, 9, 17])
def test_plateau_schedule_is_restored(stop):
    losses = wandering(1)
    whole = by_plateau(losses, Plateau(1e-3, 0.2, 3, 12))
    first, second = Plateau(1e-3, 0.2, 3, 12), Plateau(1e-3, 0.2, 3, 12)
    before, best = by_plateau(losses[:stop], first)
    second.restore(first.state())
    after, later = by_plateau(losses, second, stop)
    assert (before + after, best if later is None else later) == whole
