"""A trial of the detector search: a short training without a run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...models.decode import anchor_grid
from ..data.errors import DataError
from ..data.sample import Sample
from ..detector import networks as ssd
from ..detector.dataset import SceneBatches, split
from ..detector.evaluation import evaluation_set, score
from ..detector.fit import schedule
from ..detector.settings import DetectorSettings
from ..detector.trainer import DetectorTrainer
from ..formats.read_set import read_set
from ..scenes.generator import SceneGenerator
from ..threads import set_threads
from .detector_space import DetectorDesign


@dataclass(frozen=True)
class DetectorTrial:
    """Objective of the detector search: train a detector, return its mAP@0.5.

    The mAP is that of the validation share. Instances can be pickled.

    Attributes:
        data: see `formats.read_set`.
        epochs: epochs of each trial.
        images: scenes per epoch.
        seed: seed of split, scenes and weights.
        threads: TensorFlow's thread count.
    """

    data: Path
    epochs: int = 6
    images: int = 800
    seed: int = 1
    threads: int = 1

    def check(self) -> None:
        """Check the frames before a search is started.

        Raises:
            DataError: there are too few.
        """
        _shares(self.data, self.seed)

    def __call__(self, design: DetectorDesign, report: Callable[[int, float], None]) -> float:
        """Train `design` and return its score.

        `report` is called with epoch and score, and may raise to prune.
        """
        set_threads(self.threads, opencv_threads=1)
        import tensorflow as tf
        import tf_keras

        settings = DetectorSettings(
            seed=self.seed,
            epochs=self.epochs,
            images_per_epoch=self.images,
            threads=self.threads,
            ema=0.99,
            **design.to_dict(),
        )
        samples, held_out = _shares(self.data, self.seed)
        anchors = anchor_grid(settings.size, settings.size, **settings.grid)
        batches = SceneBatches(SceneGenerator(samples, settings.size), anchors, range(settings.batch), self.seed)
        evaluation = evaluation_set(held_out, settings.size, self.seed)
        tf_keras.utils.set_random_seed(self.seed)
        trainer = DetectorTrainer(ssd.build_network(settings), settings.weight_decay)
        trainer.begin_averages()
        steps = settings.images_per_epoch // settings.batch
        reached = 0.0
        for epoch in range(self.epochs):
            for step, batch in enumerate(batches.run(epoch * steps, (epoch + 1) * steps)):
                rate, decay = schedule(settings, epoch * steps + step, self.epochs * steps)
                trainer.step(*batch, tf.constant(rate), tf.constant(decay))
            with trainer.averaged():
                if epoch + 1 == self.epochs:
                    trainer.estimate_statistics(batches.run(self.epochs * steps, self.epochs * steps + min(steps, 20)))
                reached = score(trainer.outputs, evaluation, anchors, every=2).get("map50", 0.0)
            if epoch + 1 < self.epochs:
                report(epoch + 1, reached)
        tf_keras.backend.clear_session()
        return float(np.round(reached, 4))


@lru_cache(maxsize=1)
def _shares(data: Path, seed: int) -> tuple[list[Sample], list[Sample]]:
    samples, held_out, _ = split(read_set(data), seed)
    if not samples or not any(len(sample.boxes) for sample in held_out):
        raise DataError(f"{data} has too few frames with boxes to search for a detector")
    return samples, held_out
