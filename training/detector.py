"""Train the galaxy detector, SSD MobileNetV2 FPNLite, and write its run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..models.decode import anchor_grid
from . import ssd
from .data import DataError, read_set
from .detector_data import Batches, split
from .evaluation import calibration_set, evaluation_set, score
from .learner import Learner
from .run import Run
from .scenes import SceneMaker


@dataclass(frozen=True)
class DetectorSettings:
    """How a detector is built and trained.

    Attributes:
        seed: of weights, split and scenes.
        size: side of the input in pixels, a multiple of ``2**max_level``; width: share of MobileNetV2's channels.
        fpn_filters, head_convs: channels of pyramid and head, convolutions of the head before its last.
        min_level, max_level, anchor_size, scales_per_octave, aspect_ratios: as in `models.decode.anchor_grid`.
        batch, epochs, images_per_epoch: scenes a step, epochs, scenes an epoch.
        learning_rate: its peak, after a warm-up and before a cosine to 0; weight_decay: of kernels only (AdamW).
        ema: decay of the averaged weights, a step.
        threads: of the arithmetic; it may change when a run is resumed, as `epochs` may.
        weights: npz of a folded MobileNetV2 of this width to begin with, or None for random weights.
    """

    seed: int = 1
    size: int = 256
    width: float = 0.5
    fpn_filters: int = 64
    head_convs: int = 2
    min_level: int = 3
    max_level: int = 7
    anchor_size: float = 2.0
    scales_per_octave: int = 2
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 0.5)
    batch: int = 16
    epochs: int = 30
    images_per_epoch: int = 1600
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema: float = 0.998
    threads: int = 2
    weights: Path | None = None

    def __post_init__(self) -> None:
        for name in ("size", "fpn_filters", "head_convs", "scales_per_octave", "batch", "epochs", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 2 <= self.min_level <= self.max_level:
            raise ValueError(f"levels must be 2 <= min_level <= max_level, not {self.min_level} and {self.max_level}")
        if self.size % 2**self.max_level:
            raise ValueError(f"size must be a multiple of {2**self.max_level} (2**max_level), not {self.size}")
        if self.images_per_epoch < self.batch:
            raise ValueError(f"images_per_epoch ({self.images_per_epoch}) must be at least one batch ({self.batch})")
        if not 0 < self.width <= 2:
            raise ValueError(f"width must be over 0 and at most 2, not {self.width}")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and self.anchor_size > 0):
            raise ValueError("learning_rate and anchor_size must be over 0, weight_decay at least 0")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in 0..1, not {self.ema}")
        if not self.aspect_ratios or min(self.aspect_ratios) <= 0:
            raise ValueError(f"aspect_ratios must be over 0, not {self.aspect_ratios}")

    @property
    def grid(self) -> dict[str, Any]:
        """The keyword arguments of the anchor grid, without the input's size."""
        names = ("min_level", "max_level", "anchor_size", "scales_per_octave")
        return {name: getattr(self, name) for name in names} | {"aspect_ratios": list(self.aspect_ratios)}

    def plain(self) -> dict[str, Any]:
        """The settings as plain values; of the weights only the file's name."""
        values = dataclasses.asdict(self)
        weights = self.weights.name if self.weights else None
        return values | {"aspect_ratios": list(self.aspect_ratios), "weights": weights}


def _set_threads(threads: int) -> None:
    import tensorflow as tf

    cv2.setNumThreads(1)
    with contextlib.suppress(RuntimeError):  # TensorFlow already at work in this process keeps the threads it has
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def train(
    data: Path, out: Path, settings: DetectorSettings, resume: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train a detector.

    Args:
        data: a folder of data sets, see `data.read_set`.
        out: the run folder, see `run`.
        resume: go on after the last whole epoch of the run in `out`; the result is as if it had not stopped.
        report: called after every step with epoch, epochs, step, steps and loss.

    Returns:
        the run's record, as in ``run.json``.

    Raises:
        DataError: there are no usable data. RunError: `out` holds a run and `resume` is not set, or another's.
    """
    train_samples, held, record = split(read_set(data), settings.seed)
    if not train_samples or not held:
        raise DataError(f"{data} holds too few pictures to train a detector on: {record['sets'] or 'none'}")
    if not any(len(sample.boxes) for sample in train_samples):
        raise DataError(f"{data} holds no frame with a usable box to train a detector on")
    run = Run(out, "detect", settings.plain(), record, resume)
    _set_threads(settings.threads)
    import tensorflow as tf
    import tf_keras

    anchors = anchor_grid(settings.size, settings.size, **settings.grid)
    batches = Batches(SceneMaker(train_samples, settings.size), anchors, settings.batch, settings.seed)
    evaluation = evaluation_set(held, settings.size, settings.seed)
    np.savez_compressed(out / "evaluation.npz", **evaluation)  # type: ignore[arg-type]
    tf_keras.utils.set_random_seed(settings.seed)
    model = ssd.build_network(
        settings.size, settings.width, settings.fpn_filters, settings.head_convs, **settings.grid
    )
    learner = Learner(model, settings.weight_decay)
    checkpoints = tf.train.CheckpointManager(learner.state, str(run.checkpoints), max_to_keep=2)
    if checkpoints.latest_checkpoint:
        learner.state.restore(checkpoints.latest_checkpoint).expect_partial()
    else:
        if settings.weights:
            from .pretrained import load_backbone

            some = np.concatenate([batches.make(step)[0] for step in range(-(-48 // settings.batch))])
            load_backbone(learner.model.backbone, settings.weights, some)
        learner.begin_averages()

    steps = settings.images_per_epoch // settings.batch
    for epoch in range(int(learner.epoch.numpy()), settings.epochs):
        begun, losses = time.monotonic(), []
        for place, batch in enumerate(batches.run(epoch * steps, (epoch + 1) * steps)):
            rate, decay = _schedule(settings, epoch * steps + place, settings.epochs * steps)
            loss, class_loss = learner.step(*batch, tf.constant(rate), tf.constant(decay))
            losses.append((float(loss), float(class_loss)))
            if report:
                state = {"epoch": epoch + 1, "epochs": settings.epochs, "step": place + 1, "steps": steps}
                report(state | {"loss": losses[-1][0]})
        speed = steps * settings.batch / (time.monotonic() - begun)
        mean = np.mean(losses, axis=0)
        learner.epoch.assign(epoch + 1)
        checkpoints.save()
        with learner.averaged():
            metrics = score(learner.outputs, evaluation, anchors, every=1 if epoch + 1 == settings.epochs else 2)
        run.log(epoch=epoch + 1, loss=round(float(mean[0]), 4), class_loss=round(float(mean[1]), 4),
                rate=float(rate), images_per_second=round(speed, 2), **metrics)

    with learner.averaged():
        last = settings.epochs * steps
        # A thousand fresh scenes settle the statistics; a run that was a try is not worth more than it trained on.
        learner.estimate_statistics(batches.run(last, last + min(last, max(8, 1000 // settings.batch))))
        metrics = score(learner.outputs, evaluation, anchors)
        inputs = calibration_set(batches.maker, train_samples, settings.seed)
        np.savez_compressed(out / "calibration.npz", images=inputs)
        macs, parameters = ssd.save_network(learner.model, settings.size, out / "saved_model")
    description = {
        "input": {"width": settings.size, "height": settings.size},
        "preprocess": {"kind": "letterbox", "fill": 0},
        "decode": settings.grid | {"box_weights": [10, 10, 5, 5]},
        "outputs": ["boxes", "scores"],
        "classes": ["galaxy"],
        "parameters": parameters,
        "macs": macs,
    }
    return run.finish(description, metrics)


def _schedule(settings: DetectorSettings, step: int, total: int) -> tuple[np.float32, np.float32]:
    """Return the learning rate and the decay of the averaged weights at a step."""
    warm = min(200, total // 10 + 1)
    rate = settings.learning_rate * min(1.0, (step + 1) / warm) * 0.5 * (1 + np.cos(np.pi * step / total))
    return np.float32(rate), np.float32(min(settings.ema, (1 + step) / (10 + step)))
