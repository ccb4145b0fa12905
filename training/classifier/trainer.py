"""The network being trained, its running average and the optimiser: one step, and what a checkpoint must hold."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...runtime.system.atomic_files import atomic_path
from .batches import Batch
from .recipe import Recipe
from .schedules import Cycles, Plateau

TEACHER_SHARE = 0.7
"""Share of the loss that a teacher's soft targets take where there are any."""


def _misfit(logits: tf.Tensor, attributes: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Give the mean cross-entropy of attributes (B, A) that are known, pictures weighted by (B,)."""
    known = tf.math.is_finite(attributes)
    target = tf.where(known, attributes, 0.5)
    cross = tf.nn.sigmoid_cross_entropy_with_logits(target, logits)
    # Less that of the attribute itself, which nothing can take away: 0 is a perfect fit.
    least = -tf.math.xlogy(target, target) - tf.math.xlogy(1.0 - target, 1.0 - target)
    counted = tf.cast(known, tf.float32)
    return tf.reduce_sum(weights[:, None] * counted * (cross - least)) / tf.maximum(tf.reduce_sum(counted), 1.0)


class ClassifierTrainer:
    """Trains a network.

    Args:
        network: what is trained; average: a network like it that follows its weights, or the network itself.
        recipe: decay, average and so on.
        attributes: whether both tell attributes too (`attributes.with_attributes`).
    """

    def __init__(self, network: keras.Model, average: keras.Model, recipe: Recipe, attributes: bool = False) -> None:
        self.network, self.average, self._average_decay = network, average, recipe.average
        self._attributes = recipe.attributes if attributes else 0.0
        if average is not network:
            average.set_weights(network.get_weights())
        self.optimizer = keras.optimizers.AdamW(1e-3, weight_decay=recipe.decay, global_clipnorm=2.0)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.optimizer.build(network.trainable_variables)
        self._best = [np.asarray(value) for value in network.weights]

    def step(self, batch: Batch, smoothing: float, step: int) -> float:
        """Take one step; return its loss."""
        keep = min(self._average_decay, (1 + step) / (10 + step))  # so that the first weights are soon forgotten
        return float(
            self._step(
                batch.inputs,
                batch.targets,
                batch.soft,
                batch.attributes,
                batch.weights,
                batch.share,
                np.float32(smoothing),
                np.float32(keep),
            )
        )

    @tf.function(reduce_retracing=True)
    def _step(
        self,
        inputs: tf.Tensor,
        targets: tf.Tensor,
        soft: tf.Tensor,
        attributes: tf.Tensor,
        weights: tf.Tensor,
        share: tf.Tensor,
        smoothing: tf.Tensor,
        keep: tf.Tensor,
    ) -> tf.Tensor:
        inputs = tf.cast(inputs, tf.float32)
        part = tf.reshape(share, [-1] + [1] * (len(inputs.shape) - 1))
        with tf.GradientTape() as tape:
            told = self.network(inputs * part + inputs[::-1] * (1.0 - part), training=True)
            logits = told[0] if self._attributes else told
            logs = tf.nn.log_softmax(logits)

            def fit(targets: tf.Tensor, soft: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
                # A class is a group of one: the same loss serves both kinds of label.
                own = tf.reduce_logsumexp(tf.where(targets > 0, logs, -1e9), axis=1) * weights
                taught = TEACHER_SHARE * tf.minimum(tf.reduce_sum(soft, axis=1), 1.0)
                return (1.0 - taught) * own + taught * tf.reduce_sum(soft * logs, axis=1)

            fits = share * fit(targets, soft, weights) + (1.0 - share) * fit(targets[::-1], soft[::-1], weights[::-1])
            loss = -tf.reduce_mean((1.0 - smoothing) * fits + smoothing * tf.reduce_mean(logs, axis=1))
            if self._attributes:
                both = _misfit(told[1], attributes, share) + _misfit(told[1], attributes[::-1], 1.0 - share)
                loss += self._attributes * both
            if self.network.losses:
                loss += tf.add_n(self.network.losses)
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        if self.average is not self.network:
            for mean, value in zip(self.average.weights, self.network.weights, strict=True):
                mean.assign(keep * mean + (1.0 - keep) * value)
        return loss

    def keep_best(self) -> None:
        """Remember the weights as the best so far."""
        self._best = [np.asarray(value) for value in self.average.weights]

    def restore_best(self) -> None:
        """Go back to the best weights."""
        for variable, value in zip(self.average.weights, self._best, strict=True):
            variable.assign(value)

    @property
    def _state(self) -> list[Any]:
        twin = self.average.weights if self.average is not self.network else []
        # Not `variables` of a network: weights first, and the states of its dropout's generators, which are no weights.
        known = {id(value) for value in self.network.weights}
        generators = [value for value in self.network.variables if id(value) not in known]
        return [*self.network.weights, *twin, *self.optimizer.variables, *generators]

    def save(self, path: Path, epoch: int, schedule: Cycles | Plateau) -> None:
        """Write all state beside its place, then rename it there."""
        arrays = {f"v{index}": np.asarray(value) for index, value in enumerate(self._state)}
        arrays |= {f"best{index}": value for index, value in enumerate(self._best)}
        with atomic_path(path) as staged, staged.open("wb") as stream:
            np.savez(stream, epoch=np.array(epoch), schedule=schedule.state(), **arrays)  # type: ignore[arg-type]

    def load(self, path: Path, schedule: Cycles | Plateau) -> int:
        """Read the state, if there is a whole one; return the number of epochs it has behind it."""
        variables = self._state
        try:
            with np.load(path) as stored:
                # All of it is read before anything is set: half a state would be worse than none.
                values = [stored[f"v{index}"] for index in range(len(variables))]
                best = [stored[f"best{index}"] for index in range(len(self._best))]
                progress, epoch = stored["schedule"], int(stored["epoch"])
        except (FileNotFoundError, zipfile.BadZipFile, EOFError, KeyError, ValueError):
            return 0  # none, or not a whole one: the training begins anew
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self._best = best
        schedule.restore(progress)
        return epoch
