"""Training batches of a classifier: balanced draws of augmented galaxies.

The same seed and epoch give the same batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..augmentation.presets import AUGMENTATIONS
from ..cache import cache_key, cached_rows
from ..data.crops import draw_weights
from .balancing import class_weights
from .balancing import draw as draw_balanced
from .dataset import GalaxyDataset
from .recipe import Recipe

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Batch:
    """The images of one training step.

    Attributes:
        inputs: (B, size, size, 3) uint8, or the features of the frozen part, float32.
        targets: (B, C) float32, shares of votes that add up to 1, or 1 for every class that the label allows.
        soft: (B, C) float32 soft targets of a teacher; all 0 without one.
        attributes: (B, A) float32 in 0..1, NaN where not known; A is 0 where attributes are not trained on.
        weights: (B,) float32 weight of each image in the loss.
        share: (B,) float32, mixup share of each image; the remainder is the image at the mirrored position in the
            batch.
    """

    inputs: np.ndarray
    targets: np.ndarray
    soft: np.ndarray
    attributes: np.ndarray
    weights: np.ndarray
    share: np.ndarray


class BatchLoader:
    """A loader of training batches, which are drawn from a dataset by a recipe.

    Args:
        recipe: see `recipe.Recipe`; dataset: the training images; seed: of all draws.
        network: the complete network; if it has a frozen part (recipe.cached), that part's features are cached.
        soft: (N, C) soft targets of a teacher, or None.

    Attributes:
        trainable: the part of the network that is not frozen.
        steps: number of steps per epoch.
    """

    def __init__(
        self, recipe: Recipe, dataset: GalaxyDataset, network: keras.Model, seed: int, soft: np.ndarray | None = None
    ) -> None:
        self._recipe, self._dataset, self._seed, self._network = recipe, dataset, seed, network
        self._view = AUGMENTATIONS[recipe.views]
        self._canvases = dataset.canvases()
        self._targets = dataset.targets(recipe.votes)
        self._soft = np.zeros_like(self._targets) if soft is None else soft.astype(np.float32)
        known = dataset.attributes if recipe.attributes else None
        self._attributes = np.zeros((len(dataset), 0), np.float32) if known is None else known
        self._labelled = dataset.labelled
        self._balance = None if recipe.balance == "root" else recipe.balance
        self._weights = np.ones(len(dataset.classes), np.float32)
        if self._balance:
            labels = dataset.labels[self._labelled]
            self._weights = class_weights(labels, self._balance, len(dataset.classes), dataset.classes)
        self._chances = draw_weights(dataset.labels, dataset.groups)
        self.trainable, self._frozen, self._cache = network, None, None
        if recipe.cached:
            from .vgg import frozen_part, trainable_part

            self.trainable, self._frozen = trainable_part(network), frozen_part(network)
            self._cache = self._cache_features()
        self.steps = max(1, round(len(self._indices(0)) / recipe.batch))

    def _cache_features(self) -> list[np.ndarray]:
        """Compute the frozen part's features of `cached` views of each image.

        The views depend on the image only, not on seed and data set, so that all runs and folds share the cache.
        """
        assert self._frozen is not None
        recipe, ids, crop_ids = self._recipe, self._dataset.ids, self._dataset.crop_ids
        key = cache_key("by image", self._dataset.margin, recipe.size, recipe.views, network=self._frozen)

        def compute(number: int, indices: np.ndarray) -> np.ndarray:
            views = []
            for index in indices.tolist():
                own = int.from_bytes(hashlib.sha256(ids[index].encode()).digest()[:8], "little")
                views.append(self._view(self._canvases[index], recipe.size, np.random.default_rng([4, number, own])))
            return self.frozen_features(np.stack(views))

        return [
            cached_rows(f"features{number}", key, crop_ids, partial(compute, number)) for number in range(recipe.cached)
        ]

    @property
    def attributes(self) -> bool:
        """Whether attributes are trained on."""
        return bool(self._attributes.shape[1])

    def make_average(self, build: Callable[[], keras.Model]) -> keras.Model:
        """Build the network that holds the averaged weights.

        Without averaging, return the trained network itself.
        """
        return build() if self._recipe.average else self.trainable

    def complete_network(self, trained: keras.Model) -> keras.Model:
        """Return the complete network of a trained one, including its frozen part."""
        return trained if self._frozen is None else self._network

    def frozen_features(self, images: np.ndarray) -> np.ndarray:
        """Return the frozen part's features of images (N, size, size, 3) uint8.

        Without such a part, the images are returned.
        """
        if self._frozen is None:
            return images
        parts = [
            np.asarray(self._frozen(images[start : start + 64].astype(np.float32), training=False), np.float16)
            for start in range(0, len(images), 64)
        ]
        return np.concatenate(parts)

    def _indices(self, epoch: int) -> np.ndarray:
        """Draw the images of an epoch: (M,) indices into the dataset."""
        rng = np.random.default_rng([self._seed, epoch])
        if self._balance is None:
            drawn: np.ndarray = rng.choice(len(self._chances), len(self._labelled), p=self._chances)
            return drawn
        result: np.ndarray = self._labelled[
            draw_balanced(self._dataset.labels[self._labelled], self._balance, self._seed, epoch)
        ]
        return result

    def epoch(self, epoch: int, plain: bool = True) -> Iterator[Batch]:
        """Yield the batches of an epoch (from 0); mixup is applied unless `plain`."""
        size, mixup = self._recipe.batch, self._recipe.mixup
        rng = np.random.default_rng([self._seed, epoch, 1])
        indices = np.resize(self._indices(epoch), self.steps * size)
        for start in range(0, len(indices), size):
            drawn = indices[start : start + size]
            share = rng.beta(mixup, mixup, size) if mixup > 0 and not plain else np.ones(size)
            labels = self._dataset.labels[drawn]
            weights = np.where(labels >= 0, self._weights[labels], 1.0)
            yield Batch(
                self._inputs(drawn, rng),
                self._targets[drawn],
                self._soft[drawn],
                self._attributes[drawn],
                weights.astype(np.float32),
                share.astype(np.float32),
            )

    def _inputs(self, drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self._cache is not None:
            return np.stack(
                [
                    self._cache[view][index]
                    for view, index in zip(rng.integers(0, len(self._cache), len(drawn)), drawn, strict=True)
                ]
            )
        return np.stack([self._view(self._canvases[index], self._recipe.size, rng) for index in drawn])

    def refresh_batches(self, batches: int) -> Iterator[np.ndarray]:
        """Yield inputs for measuring normalisation statistics of averaged weights.

        At most `batches` of them, drawn like those of training but without mixup.
        """
        for number, batch in enumerate(self.epoch(self._recipe.epochs)):
            if number >= batches:
                return
            yield batch.inputs

    def calibration(self, max_images: int) -> np.ndarray:
        """Draw at most `max_images` unaugmented inputs to calibrate int8 with.

        They are drawn from the classes as evenly as the counts allow: (n, size, size, 3) uint8.
        """
        labels = self._dataset.labels
        order = np.random.default_rng(self._seed).permutation(self._labelled)
        ranks = np.zeros(len(order), int)
        for label in range(len(self._dataset.classes)):
            members = np.flatnonzero(labels[order] == label)
            ranks[members] = np.arange(len(members))
        return self._dataset.take(order[np.argsort(ranks, kind="stable")[:max_images]]).images(self._recipe.size)
