"""Train the small network that names galaxies (classification into the nine classes of `models.labels`).

Two kinds of labels teach together: a class, or only its coarse group, whose loss is the log of the summed
probability of the group's classes. AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) in cosine cycles, an average of
the weights, mixup (Zhang et al. 2018, arXiv:1710.09412) in all cycles but the last.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from ..models.decode import softmax
from ..models.labels import CLASSES
from ..models.metrics import classification_metrics
from .data import Sample, read_set
from .galaxies import draw_weights, network_input, pick_calibration, split, targets_of
from .networks import classifier_network, multiply_adds, refresh_normalisation, save_network
from .run import Run
from .views import draw_view, prepare


@dataclass(frozen=True)
class ClassifierSettings:
    """How to train.

    Attributes:
        seed: of the split, the draws and the initial weights.
        size: side of the network's input in pixels.
        width: multiplier of its channels; 1 gives 43 k parameters.
        epochs: passes over as many pictures as have a class.
        batch: pictures a step.
        rates: peak learning rate of each cosine cycle; the cycles share the epochs equally.
        decay: weight decay, not of biases and normalisation.
        average: decay of the running average of the weights.
        mixup: parameter of its Beta distribution, 0 for none; none in the last cycle.
        smoothing: share of the target spread over all classes; none in the last cycle.
        margin: share of a box's longer side added in all. At 0.3 boxed galaxies fill 0.75 of the crop, as those of
            EFIGI fill their pictures (medians 0.72 smooth, 0.74 disk, 0.77 spiral, 0.85 edge-on, by one estimate
            of the ellipse of 90 % of the light for both).
        validation: share of the pictures never trained on.
        threads: CPU threads.
    """

    seed: int = 1
    size: int = 69
    width: float = 1.33
    epochs: int = 180
    batch: int = 64
    rates: tuple[float, ...] = (3e-3, 2e-3)
    decay: float = 0.02
    average: float = 0.995
    mixup: float = 0.2
    smoothing: float = 0.05
    margin: float = 0.3
    validation: float = 0.12
    threads: int = 1

    def __post_init__(self) -> None:
        bounds = {
            "seed": (0, 2**31), "size": (32, 88), "width": (0.2, 8), "epochs": (1, 10_000), "batch": (2, 4096),
            "decay": (0, 1), "average": (0, 0.99999), "mixup": (0, 10), "smoothing": (0, 0.5), "margin": (0, 3),
            "validation": (0.01, 0.5), "threads": (1, 256),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in {low}..{high}")
        if not self.rates or not all(0 < rate <= 1 for rate in self.rates):
            raise ValueError(f"rates is {self.rates}; it must hold learning rates in 0..1, one a cycle")


def learning_rate(step: int, steps: int, rates: tuple[float, ...], warm: int = 100) -> float:
    """Give the rate of a step (0-based) of `steps` in cosine cycles, each warming up over `warm` steps at most."""
    length = steps / len(rates)
    cycle = min(int(step / length), len(rates) - 1)
    done = (step - cycle * length) / length
    ramp = min(1.0, (step - cycle * length + 1) / min(warm, max(1.0, length / 5)))
    return float(rates[cycle] * ramp * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done))))


class _Learner:
    """The network, its running average and the optimiser: one step, and what a checkpoint must hold."""

    def __init__(self, settings: ClassifierSettings) -> None:
        keras.utils.set_random_seed(settings.seed)
        self.network = classifier_network(settings.size, settings.width, len(CLASSES))
        self.average = classifier_network(settings.size, settings.width, len(CLASSES))
        self.average.set_weights(self.network.get_weights())
        self.optimizer = keras.optimizers.AdamW(1e-3, weight_decay=settings.decay, global_clipnorm=2.0)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.optimizer.build(self.network.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(self, images: tf.Tensor, targets: tf.Tensor, share: tf.Tensor, smoothing: tf.Tensor,
             keep: tf.Tensor) -> tf.Tensor:
        """Take one step; the batch is mixed with its reverse, each picture by its `share` (N,) in 0..1."""
        images = tf.cast(images, tf.float32)
        part = share[:, None, None, None]
        with tf.GradientTape() as tape:
            logits = self.network(images * part + images[::-1] * (1.0 - part), training=True)
            logs = tf.nn.log_softmax(logits)
            # A class is a group of one: the same loss serves both kinds of label.
            own, other = (tf.reduce_logsumexp(tf.where(allowed > 0, logs, -1e9), axis=1)
                          for allowed in (targets, targets[::-1]))
            fit = share * own + (1.0 - share) * other
            loss = -tf.reduce_mean((1.0 - smoothing) * fit + smoothing * tf.reduce_mean(logs, axis=1))
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        for mean, value in zip(self.average.weights, self.network.weights, strict=True):
            mean.assign(keep * mean + (1.0 - keep) * value)
        return loss

    @property
    def _state(self) -> list[Any]:
        return [*self.network.variables, *self.average.variables, *self.optimizer.variables]

    def save(self, path: Path, epoch: int) -> None:
        """Write all state beside its place, then rename it there."""
        beside = path.with_name("part.npz")
        arrays = {f"v{index}": np.asarray(value) for index, value in enumerate(self._state)}
        np.savez(beside, epoch=epoch, **arrays)  # type: ignore[arg-type]
        os.replace(beside, path)

    def load(self, path: Path) -> int:
        """Read the state, if there is a whole one; return the number of epochs it has behind it."""
        try:
            with np.load(path) as stored:
                for index, variable in enumerate(self._state):
                    variable.assign(stored[f"v{index}"])
                return int(stored["epoch"])
        except (FileNotFoundError, zipfile.BadZipFile):
            return 0


def _logits(network: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.concatenate([network(images[at : at + 64].astype(np.float32), training=False).numpy()
                           for at in range(0, len(images), 64)])


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature in 0.2..5 that makes (N, C) logits most likely (Guo et al. 2017, arXiv:1706.04599)."""
    rows = np.arange(len(labels))
    grid = np.exp(np.linspace(np.log(0.2), np.log(5.0), 200))
    losses = [-np.log(softmax(logits, value)[rows, labels] + 1e-9).mean() for value in grid]
    return round(float(grid[int(np.argmin(losses))]), 3)


def train(data: Path, out: Path, settings: ClassifierSettings = ClassifierSettings(), resume: bool = False,
          report: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Train a classifier and write its run folder (see `training.run`).

    Args:
        data: a data-set folder, or a folder of them; sets without galaxy classes are passed over.
        out: the run folder.
        resume: go on with the run that is there; at most one epoch is lost by a stop.
        report: called after every epoch with epoch, epochs, loss, macro_f1.

    Returns:
        The run's record. The network kept is the last average, not the best on validation; only the temperature is
        fitted there.

    Raises:
        DataError: the data cannot be read, or hold too few labels.
        RunError: `out` holds another run, or one and `resume` is not given.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # TensorFlow is already at work in this process; its threads stay as they are
    cv2.setNumThreads(settings.threads)
    learning, validation, record = split(read_set(data), settings.validation, settings.seed)
    run = Run(out, "classify", {**asdict(settings), "rates": list(settings.rates)}, record, resume)

    def seen_by(samples: list[Sample]) -> np.ndarray:
        return np.stack([network_input(one.load(), one.boxes, settings.margin, settings.size) for one in samples])

    images, labels = seen_by(validation), np.array([sample.label for sample in validation])
    np.savez(out / "evaluation.npz", images=images, labels=labels, set=np.array([one.set for one in validation]))
    calibration = pick_calibration(learning, np.random.default_rng(settings.seed))
    np.savez(out / "calibration.npz", images=seen_by(calibration))

    learner, checkpoint = _Learner(settings), run.checkpoints / "state.npz"
    first = learner.load(checkpoint) if resume else 0
    canvases = [prepare(one.load(), one.boxes[0] if len(one.boxes) else None, settings.margin) for one in learning]
    targets = np.stack([target for sample in learning if (target := targets_of(sample)) is not None])
    weights = draw_weights(learning)
    steps = max(1, round(sum(sample.label >= 0 for sample in learning) / settings.batch))

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        drawn = rng.choice(len(learning), settings.batch, p=weights)
        return np.stack([draw_view(canvases[index], settings.size, rng) for index in drawn]), targets[drawn]

    for epoch in range(first, settings.epochs):
        rng = np.random.default_rng([settings.seed, epoch])
        last = epoch >= settings.epochs * (1 - 1 / len(settings.rates))
        total = 0.0
        for step in range(epoch * steps, (epoch + 1) * steps):
            batch, allowed = draw(rng)
            mixed = settings.mixup > 0 and not last
            share = rng.beta(settings.mixup, settings.mixup, settings.batch) if mixed else np.ones(settings.batch)
            learner.optimizer.learning_rate = learning_rate(step, steps * settings.epochs, settings.rates)
            keep = min(settings.average, (1 + step) / (10 + step))  # so that the first weights are soon forgotten
            total += float(learner.step(batch, allowed, np.float32(share),
                                        np.float32(0.0 if last else settings.smoothing), np.float32(keep)))
        scores = classification_metrics(softmax(_logits(learner.average, images)), labels, CLASSES)
        values = {"epoch": epoch + 1, "loss": total / steps, "macro_f1": scores["macro_f1"]}
        learner.save(checkpoint, epoch + 1)
        run.log(**values, accuracy=scores["accuracy"], coarse_accuracy=scores["coarse_accuracy"])
        if report:
            report({**values, "epochs": settings.epochs})

    rng = np.random.default_rng([settings.seed, settings.epochs])
    refresh_normalisation(learner.average, (draw(rng)[0] for _ in range(min(50, 2 * steps))))
    logits = _logits(learner.average, images)
    temperature = fit_temperature(logits, labels)
    probabilities = softmax(logits, temperature)
    metrics = classification_metrics(probabilities, labels, CLASSES)
    origin = np.array([sample.set for sample in validation])
    metrics["sets"] = {name: classification_metrics(probabilities[origin == name], labels[origin == name], CLASSES)
                       for name in np.unique(origin).tolist()}
    metrics["temperature_fitted_on"] = "validation"
    shutil.rmtree(out / "saved_model", ignore_errors=True)
    save_network(learner.average, out / "saved_model", settings.size)
    return run.finish(
        {
            "input": {"width": settings.size, "height": settings.size},
            "preprocess": {"kind": "crop", "margin": settings.margin},
            "decode": {"temperature": temperature},
            "outputs": ["logits"],
            "classes": list(CLASSES),
            "parameters": learner.average.count_params(),
            "macs": multiply_adds(learner.average),
        },
        metrics,
    )
