"""Learning-rate schedules: cosine cycles, or reduction on a plateau."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Cycles:
    """Cosine cycles of equal length, each with its own peak and a warm-up.

    The length of the training is fixed.

    Args:
        rates: peak of each cycle; steps: steps per epoch; epochs: of the whole training.
    """

    rates: tuple[float, ...]
    steps: int
    epochs: int
    is_over = False

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from the start of the training."""
        return learning_rate(step, self.steps * self.epochs, self.rates)

    def is_last_cycle(self, epoch: int) -> bool:
        """Return whether an epoch (from 0) is in the last cycle.

        Neither mixup nor label smoothing is used in that cycle.
        """
        return epoch >= self.epochs - self.epochs / len(self.rates)

    def update(self, loss: float) -> bool:
        """Ignore an epoch's validation loss: this schedule does not choose weights by it."""
        return False

    def state(self) -> np.ndarray:
        """Return the state to be saved in a checkpoint."""
        return np.zeros(0)

    def restore(self, state: np.ndarray) -> None:
        """Set a state that `state` returned."""


def learning_rate(step: int, steps: int, rates: tuple[float, ...], warm: int = 100) -> float:
    """Return the learning rate of a step in cosine cycles with warm-up.

    Steps are counted from 0 to `steps` - 1; each cycle has a warm-up of at most `warm` steps.
    """
    length = steps / len(rates)
    cycle = min(int(step / length), len(rates) - 1)
    done = (step - cycle * length) / length
    ramp = min(1.0, (step - cycle * length + 1) / min(warm, max(1.0, length / 5)))
    return float(rates[cycle] * ramp * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done))))


@dataclass
class Plateau:
    """Keras' ReduceLROnPlateau and EarlyStopping combined, on validation loss.

    See section 2.4 of the report.

    Args:
        first: the initial rate; factor: by which it is multiplied on a plateau.
        patience, stop_after: epochs without a better loss until the rate is reduced, and until the training ends.
    """

    first: float
    factor: float
    patience: int
    stop_after: int

    def __post_init__(self) -> None:
        self._now, self._best, self._wait, self._since = self.first, np.inf, 0.0, 0.0

    @property
    def is_over(self) -> bool:
        """Whether the training should end."""
        return self._since >= self.stop_after

    def rate(self, step: int) -> float:
        """Return the current learning rate."""
        return self._now

    def is_last_cycle(self, epoch: int) -> bool:
        """Return False: mixup and smoothing are used in every epoch."""
        return False

    def update(self, loss: float) -> bool:
        """Record an epoch's validation loss; return whether it is the best so far."""
        if loss < self._best:
            self._best, self._wait, self._since = loss, 0.0, 0.0
            return True
        self._wait += 1
        self._since += 1
        if self._wait >= self.patience:
            self._now, self._wait = max(self._now * self.factor, 1e-6), 0.0
        return False

    def state(self) -> np.ndarray:
        """Return the state to be saved in a checkpoint."""
        return np.array([self._now, self._best, self._wait, self._since])

    def restore(self, state: np.ndarray) -> None:
        """Set a state that `state` returned."""
        self._now, self._best, self._wait, self._since = (float(value) for value in state)
