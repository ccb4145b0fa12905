"""Training steps of the detector: network, loss, optimiser and averaged weights."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..mobilenet.architecture import INPUT_OFFSET, INPUT_SCALE
from . import networks as ssd
from .feature_distillation import FeatureDistillation

logger = logging.getLogger(__name__)

FOCAL_ALPHA, FOCAL_GAMMA, BOX_WEIGHT = 0.25, 1.5, 4.0
DISTILLATION_WEIGHT, TEACHER_WEIGHT = 0.5, 1.0
MIN_TAUGHT_BOX, MAX_TAUGHT_BACKGROUND = 0.3, 0.2
"""Scores of a teacher.

Its box is learnt from the first on. Where the labels have no galaxy, its score is learnt up to the second: a higher one
is a false detection of the teacher's.
"""


class DetectorTrainer:
    """A network, its optimiser and its averaged weights, checkpointed together.

    Created in the scope of a `tf.distribute` strategy it trains in several processes: each takes its part of every
    batch, and sums over all parts are equal to those of a single process.

    Args:
        model: from `networks.build_network`.
        weight_decay: of kernels only (AdamW, Loshchilov and Hutter 2019, arXiv:1711.05101).
        distillation: features that the backbone learns in addition to its task.
    """

    def __init__(self, model: Any, weight_decay: float, distillation: FeatureDistillation | None = None) -> None:
        import tensorflow as tf
        import tf_keras

        self.model, self.distillation = model, distillation
        self.trained = self.model.trainable_variables + (distillation.maps if distillation else [])
        self.optimizer = tf_keras.optimizers.AdamW(1e-3, weight_decay=weight_decay, global_clipnorm=10.0)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.optimizer.build(self.trained)
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA  # identical on all replicas
        self.averages = [tf.Variable(value, trainable=False, aggregation=first) for value in self.model.variables]
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_score = tf.Variable(-1.0, trainable=False)
        self.strategy = tf.distribute.get_strategy()
        self.step = tf.function(self._step_everywhere)
        self.predict = tf.function(
            lambda images: self.strategy.run(
                lambda inputs: ssd.raw_outputs(self.model, inputs, training=False), (images,)
            )
        )
        self.state = tf.train.Checkpoint(
            model=self.model,
            optimizer=self.optimizer,
            averages=self.averages,
            epoch=self.epoch,
            best_epoch=self.best_epoch,
            best_score=self.best_score,
            maps=distillation.maps if distillation else [],
        )

    def begin_averages(self) -> None:
        """Initialise the averaged weights with the current ones."""
        for average, value in zip(self.averages, self.model.variables, strict=True):
            average.assign(value.numpy())

    def _step_everywhere(self, *batch: Any) -> list[Any]:
        import tensorflow as tf

        losses = self.strategy.run(self._step, batch)
        return [self.strategy.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None) for loss in losses]

    def _step(self, images: Any, target: Any, deltas: Any, *rest: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        *soft, rate, decay = rest
        positive = tf.cast(target == 1, tf.float32)
        counted = tf.cast(target >= 0, tf.float32)
        with tf.GradientTape() as tape:
            inputs = tf.cast(images, tf.float32) * INPUT_SCALE + INPUT_OFFSET
            features = self.model.backbone(inputs, training=True)
            boxes, logits = ssd.head_outputs(self.model, features, training=True)
            # Focal loss (Lin et al. 2017, arXiv:1708.02002).
            cross = tf.nn.sigmoid_cross_entropy_with_logits(positive, logits)
            probability = tf.sigmoid(logits)
            difference = positive * (1 - probability) + (1 - positive) * probability
            alpha = positive * FOCAL_ALPHA + (1 - positive) * (1 - FOCAL_ALPHA)
            total = tf.distribute.get_replica_context().all_reduce("SUM", tf.reduce_sum(positive))
            count = tf.maximum(total, 1.0)
            class_loss = tf.reduce_sum(counted * alpha * difference**FOCAL_GAMMA * cross) / count
            error = tf.abs(boxes - deltas)
            huber = tf.where(error < 1, 0.5 * error**2, error - 0.5)
            box_loss = tf.reduce_sum(tf.reduce_mean(huber, axis=2) * positive) / count
            loss = class_loss + BOX_WEIGHT * box_loss
            if soft:
                loss += TEACHER_WEIGHT * teacher_loss(boxes, logits, target, *soft) / count
            if self.distillation:  # a mean over the batch, so each process contributes its share
                replicas = tf.distribute.get_replica_context().num_replicas_in_sync
                loss += DISTILLATION_WEIGHT / replicas * self.distillation.loss(inputs, features)
        variables = self.trained
        gradients = tape.gradient(loss, variables)
        self.optimizer.learning_rate.assign(rate)
        # The backbone's last layer feeds no level, so it has no gradient.
        used = [pair for pair in zip(gradients, variables, strict=True) if pair[0] is not None]
        self.optimizer.apply_gradients(used)
        for average, value in zip(self.averages, self.model.variables, strict=True):
            average.assign_sub((1 - decay) * (average - value))
        return loss, class_loss

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the averaged weights within the context."""
        kept = [value.numpy() for value in self.model.variables]
        for average, value in zip(self.averages, self.model.variables, strict=True):
            value.assign(average.numpy())
        try:
            yield
        finally:
            for value, old in zip(self.model.variables, kept, strict=True):
                value.assign(old)

    def keep_if_best(self, score: float, file: Path) -> None:
        """Write the averaged weights to a file if their score is the best so far."""
        import tensorflow as tf

        if score > float(self.best_score):
            tf.train.Checkpoint(averages=self.averages).write(str(file))
            self.best_score.assign(score)
            self.best_epoch.assign(self.epoch)

    def take_best(self, file: Path) -> None:
        """Set the averaged weights to those of the best epoch."""
        import tensorflow as tf

        tf.train.Checkpoint(averages=self.averages).read(str(file)).assert_consumed()

    def outputs(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run the network on images (n, size, size, 3) uint8.

        Returns deltas (n, N, 4) and logits (n, N).
        """
        import tensorflow as tf

        local = self.strategy.experimental_local_results
        parts = [
            self.predict(tf.constant(images[start : start + 25], tf.float32)) for start in range(0, len(images), 25)
        ]
        deltas, logits = ([local(part[output])[0] for part in parts] for output in (0, 1))
        return np.concatenate(deltas), np.concatenate(logits)

    def estimate_statistics(self, batches: Iterable[tuple[np.ndarray, ...]]) -> None:
        """Replace the moving normalisation statistics by means over batches.

        The moving ones lag behind the averaged weights.
        """
        import tensorflow as tf

        norms = ssd.batch_norms(self.model)
        for index, (images, *_) in enumerate(batches):
            for norm in norms:
                norm.momentum = index / (index + 1)
            inputs = tf.constant(images, tf.float32)
            self.strategy.run(lambda batch: ssd.raw_outputs(self.model, batch, training=True), (inputs,))
        for norm in norms:
            norm.momentum = 0.9


def teacher_loss(boxes: Any, logits: Any, target: Any, scores: Any, deltas: Any) -> Any:
    """Compute the distance of a network's outputs from its teacher's.

    It is summed over the anchors.

    Args:
        boxes, logits: (B, N, 4) and (B, N) of the network.
        target: (B, N) int8, see `anchor_matching.assign_targets`.
        scores, deltas: (B, N) in 0..1 and (B, N, 4) of the teacher.

    Returns:
        a scalar >= 0: cross entropy of the scores, less that of the teacher's own, and Huber loss of the boxes.
    """
    import tensorflow as tf

    counted = tf.cast((target != 0) | (scores <= MAX_TAUGHT_BACKGROUND), tf.float32)
    certain = tf.clip_by_value(scores, 1e-6, 1 - 1e-6)
    own = -certain * tf.math.log(certain) - (1 - certain) * tf.math.log(1 - certain)
    class_loss = counted * (tf.nn.sigmoid_cross_entropy_with_logits(certain, logits) - own)
    error = tf.abs(boxes - deltas)
    huber = tf.reduce_mean(tf.where(error < 1, 0.5 * error**2, error - 0.5), axis=2)
    box_weight = BOX_WEIGHT * counted * tf.where(scores >= MIN_TAUGHT_BOX, scores, 0.0)
    return tf.reduce_sum(class_loss + box_weight * huber)


def undamaged_checkpoints(folder: Path) -> dict[int, str]:
    """Return the path prefixes of undamaged checkpoints, by epoch.

    The files are listed, because a clock that was set back leaves the list that TensorFlow keeps of them empty.
    """
    import tensorflow as tf

    found = {}
    for index in folder.glob("ckpt-*.index"):
        path = index.with_suffix("")
        try:
            reader = tf.train.load_checkpoint(str(path))
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)  # compares the checksum
            found[int(path.name.removeprefix("ckpt-"))] = str(path)
        except (tf.errors.OpError, ValueError) as error:
            logger.warning("%s is damaged and is not used: %s", path, str(error).splitlines()[0])
    return found
