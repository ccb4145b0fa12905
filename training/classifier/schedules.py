"""Learning rates over a training: cosine cycles, or a plateau that is left when nothing gets better any more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Cycles:
    """Cosine cycles of equal length, each with its own peak and a warm-up; the length of the training is fixed.

    Args:
        rates: peak of each cycle; steps: a epoch's steps; epochs: of the whole training.
    """

    rates: tuple[float, ...]
    steps: int
    epochs: int
    is_over = False

    def rate(self, step: int) -> float:
        """Give the rate of a step, counted from the beginning of the training."""
        return learning_rate(step, self.steps * self.epochs, self.rates)

    def is_last_cycle(self, epoch: int) -> bool:
        """Tell whether an epoch (from 0) is of the last cycle, which sees neither mixup nor smoothing."""
        return epoch >= self.epochs - self.epochs / len(self.rates)

    def update(self, loss: float) -> bool:
        """Weights are never chosen by validation here."""
        return False

    def state(self) -> np.ndarray:
        """Give what must be known to go on; set it with `restore`."""
        return np.zeros(0)

    def restore(self, state: np.ndarray) -> None:
        """Take a state back."""


def learning_rate(step: int, steps: int, rates: tuple[float, ...], warm: int = 100) -> float:
    """Give the rate of a step (0-based) of `steps` in cosine cycles, each warming up over `warm` steps at most."""
    length = steps / len(rates)
    cycle = min(int(step / length), len(rates) - 1)
    done = (step - cycle * length) / length
    ramp = min(1.0, (step - cycle * length + 1) / min(warm, max(1.0, length / 5)))
    return float(rates[cycle] * ramp * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done))))


@dataclass
class Plateau:
    """ReduceLROnPlateau and EarlyStopping of Keras in one (section 2.4 of the report), on the validation loss.

    Args:
        first: the first rate; factor: what it falls to, of itself.
        patience, stop_after: epochs without a better loss until it falls, and until the training is over.
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
        """Give the rate now."""
        return self._now

    def is_last_cycle(self, epoch: int) -> bool:
        """Every epoch is as the recipe says."""
        return False

    def update(self, loss: float) -> bool:
        """Take an epoch's validation loss; tell whether it is the best so far."""
        if loss < self._best:
            self._best, self._wait, self._since = loss, 0.0, 0.0
            return True
        self._wait += 1
        self._since += 1
        if self._wait >= self.patience:
            self._now, self._wait = max(self._now * self.factor, 1e-6), 0.0
        return False

    def state(self) -> np.ndarray:
        """Give what must be known to go on; set it with `restore`."""
        return np.array([self._now, self._best, self._wait, self._since])

    def restore(self, state: np.ndarray) -> None:
        """Take a state back."""
        self._now, self._best, self._wait, self._since = (float(value) for value in state)
