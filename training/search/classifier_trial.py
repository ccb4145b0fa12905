"""A trial of the classifier search: a short training without a run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import keras
import numpy as np

from ...models.classification_metrics import classification_metrics
from ...models.decode import softmax
from ..classifier.attributes import with_attributes
from ..classifier.batches import BatchLoader
from ..classifier.dataset_files import load_dataset
from ..classifier.fit import REFRESH_BATCHES
from ..classifier.keras_utils import refresh_normalisation
from ..classifier.partition import DatasetSplit, check_trainable, split_dataset
from ..classifier.recipe import RECIPES
from ..classifier.schedules import Cycles
from ..classifier.small_network import SmallNetwork, build
from ..classifier.trainer import ClassifierTrainer
from ..classifier.validation import compile_forward
from ..threads import set_threads

REPORTS = 4
"""How often a trial reports its score during training, so that it can be pruned."""


@dataclass(frozen=True)
class Trial:
    """Objective of the classifier search: train a network, return its macro F1.

    The macro F1 is that of the validation part. Instances can be pickled.

    Attributes:
        data: see `dataset_files.load_dataset`.
        epochs: epochs of each trial, in one cosine cycle.
        split_seed: seed of the split.
        seed: seed of augmentation and weights.
        threads: TensorFlow's thread count.
    """

    data: Path
    epochs: int = 24
    split_seed: int = 1
    seed: int = 1
    threads: int = 1

    def check(self) -> None:
        """Check the images before a search is started.

        Raises:
            DataError: a classifier cannot be trained on them.
        """
        parts = _parts(self.data, RECIPES["small"].margin, self.split_seed)
        check_trainable(parts.train, parts.validation)

    def __call__(self, network: SmallNetwork, report: Callable[[int, float], None]) -> float:
        """Train `network` and return its score.

        `report` is called with epoch and score, and may raise to prune.
        """
        set_threads(self.threads)
        recipe = replace(
            RECIPES["small"],
            size=network.size,
            epochs=self.epochs,
            rates=(3e-3,),
            mixup=0.0,
            average=0.99,
            spec={name: value for name, value in network.to_dict().items() if name != "size"},
        )
        parts = _parts(self.data, recipe.margin, self.split_seed)
        images, labels, classes = parts.validation.images(network.size), parts.validation.labels, parts.train.classes
        keras.utils.set_random_seed(self.seed)
        model = build(network, len(classes))
        loader = BatchLoader(recipe, parts.train.take(parts.train.informative), model, self.seed)
        average = build(network, len(classes))
        trainer = (
            ClassifierTrainer(with_attributes(model), with_attributes(average), recipe, True)
            if loader.attributes
            else ClassifierTrainer(model, average, recipe)
        )
        schedule, forward = Cycles(recipe.rates, loader.steps, recipe.epochs), compile_forward(average)

        def score() -> float:
            refresh_normalisation(average, loader.refresh_batches(min(REFRESH_BATCHES, 2 * loader.steps)))
            return float(classification_metrics(softmax(forward(images)), labels, classes).macro_f1 or 0.0)

        for epoch in range(self.epochs):
            for step, batch in enumerate(loader.epoch(epoch)):
                trainer.optimizer.learning_rate = schedule.rate(epoch * loader.steps + step)
                trainer.step(batch, 0.0, epoch * loader.steps + step)
            if (epoch + 1) % max(1, self.epochs // REPORTS) == 0 and epoch + 1 < self.epochs:
                report(epoch + 1, score())
        final = score()
        keras.backend.clear_session()
        return float(np.round(final, 4))


@lru_cache(maxsize=1)
def _parts(data: Path, margin: float, split_seed: int) -> DatasetSplit:
    return split_dataset(load_dataset(data, margin, unnamed=True), split_seed)
