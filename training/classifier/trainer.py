"""Training step and checkpoint of a classifier.

A checkpoint holds the network, the averaged weights, the best weights, the optimiser and the schedule.
"""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...files import atomic_path
from .batches import Batch
from .recipe import Recipe
from .schedules import Cycles, Plateau

logger = logging.getLogger(__name__)

TEACHER_SHARE = 0.7
"""Share of a teacher's soft targets in the loss, if there are any."""


def _attribute_loss(logits: tf.Tensor, attributes: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the mean cross-entropy of the known attributes, 0 for a perfect fit.

    Attributes are (B, A), NaN where not known; images are weighted by (B,).
    """
    known = tf.math.is_finite(attributes)
    target = tf.where(known, attributes, 0.5)
    cross = tf.nn.sigmoid_cross_entropy_with_logits(target, logits)
    # Minus the entropy of the attribute itself, the minimum: 0 is a perfect fit.
    minimum = -tf.math.xlogy(target, target) - tf.math.xlogy(1.0 - target, 1.0 - target)
    counted = tf.cast(known, tf.float32)
    return tf.reduce_sum(weights[:, None] * counted * (cross - minimum)) / tf.maximum(tf.reduce_sum(counted), 1.0)


class ClassifierTrainer:
    """A trainer of a classifier, step by step.

    Args:
        network: the network to train.
        average: a network of the same structure that holds the averaged weights, or the network itself.
        recipe: decay, average and so on.
        attributes: whether both networks have an attributes output (`attributes.with_attributes`).
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
        keep = min(self._average_decay, (1 + step) / (10 + step))  # so that the initial weights are soon averaged out
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

    # Long because TensorFlow traces by argument: the arrays of a batch are passed one by one.
    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]  # TensorFlow has no types
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
            outputs = self.network(inputs * part + inputs[::-1] * (1.0 - part), training=True)
            logits = outputs[0] if self._attributes else outputs
            logs = tf.nn.log_softmax(logits)

            def log_likelihood(targets: tf.Tensor, soft: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
                # A group allows several classes, a class and votes are shares that add up to 1.
                group = tf.reduce_logsumexp(tf.where(targets > 0, logs, -1e9), axis=1)
                is_group = tf.reduce_sum(targets, axis=1) > 1.5
                own = tf.where(is_group, group, tf.reduce_sum(targets * logs, axis=1)) * weights
                teacher_share = TEACHER_SHARE * tf.minimum(tf.reduce_sum(soft, axis=1), 1.0)
                return (1.0 - teacher_share) * own + teacher_share * tf.reduce_sum(soft * logs, axis=1)

            # Mixup: each image is mixed with the one at the mirrored position in the batch, and so are their losses.
            own = log_likelihood(targets, soft, weights)
            other = log_likelihood(targets[::-1], soft[::-1], weights[::-1])
            likelihood = share * own + (1.0 - share) * other
            loss = -tf.reduce_mean((1.0 - smoothing) * likelihood + smoothing * tf.reduce_mean(logs, axis=1))
            if self._attributes:
                own_attributes = _attribute_loss(outputs[1], attributes, share)
                other_attributes = _attribute_loss(outputs[1], attributes[::-1], 1.0 - share)
                loss += self._attributes * (own_attributes + other_attributes)
            if self.network.losses:
                loss += tf.add_n(self.network.losses)
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        if self.average is not self.network:
            for mean, value in zip(self.average.weights, self.network.weights, strict=True):
                mean.assign(keep * mean + (1.0 - keep) * value)
        return loss

    def keep_best(self) -> None:
        """Store the current averaged weights as the best so far."""
        self._best = [np.asarray(value) for value in self.average.weights]

    def restore_best(self) -> None:
        """Set the averaged network's weights to the best ones."""
        for variable, value in zip(self.average.weights, self._best, strict=True):
            variable.assign(value)

    @property
    def _state(self) -> list[Any]:
        average = self.average.weights if self.average is not self.network else []
        # Not simply `variables`, because the order must be stable: weights, then the states of dropout's generators.
        known = {id(value) for value in self.network.weights}
        generators = [value for value in self.network.variables if id(value) not in known]
        return [*self.network.weights, *average, *self.optimizer.variables, *generators]

    def save(self, path: Path, epoch: int, schedule: Cycles | Plateau) -> None:
        """Write the complete state atomically, and keep the one before."""
        arrays = {f"v{index}": np.asarray(value) for index, value in enumerate(self._state)}
        arrays |= {f"best{index}": value for index, value in enumerate(self._best)}
        with atomic_path(path) as staged:
            with staged.open("wb") as stream:
                np.savez(stream, epoch=np.array(epoch), schedule=schedule.state(), **arrays)  # type: ignore[arg-type]
            if path.exists():  # only now: a full disk leaves both states as they are
                path.replace(_earlier(path))

    def load(self, path: Path, schedule: Cycles | Plateau) -> int:
        """Load the state of the last epoch, or of the one before if that is damaged.

        Returns:
            The number of epochs until then; 0 if there is no undamaged state.
        """
        return self._load(path, schedule) or self._load(_earlier(path), schedule)

    def _load(self, path: Path, schedule: Cycles | Plateau) -> int:
        variables = self._state
        try:
            with path.open("rb") as file, np.load(file) as stored:  # closes it where np.load raises, too
                # Everything is read before anything is set: a partial state would be worse than none.
                values = [stored[f"v{index}"] for index in range(len(variables))]
                best = [stored[f"best{index}"] for index in range(len(self._best))]
                progress, epoch = stored["schedule"], int(stored["epoch"])
        except FileNotFoundError:
            return 0
        except (zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
            logger.warning("%s is damaged and is not used: %s", path, error)
            return 0
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self._best = best
        schedule.restore(progress)
        return epoch


def _earlier(path: Path) -> Path:
    """Return the path of the state before the one at a path."""
    return path.with_stem(f"{path.stem}-before")
