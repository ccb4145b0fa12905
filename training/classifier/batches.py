"""What a classifier is fed: balanced draws of views of the galaxies, the same for the same seed and epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..cache import cache_key, cached_array
from ..data.crops import draw_weights
from .augmentation_presets import AUGMENTATIONS
from .balancing import class_weights
from .balancing import draw as draw_balanced
from .dataset import GalaxyDataset
from .recipe import Recipe

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Batch:
    """One step's pictures.

    Attributes:
        inputs: (B, size, size, 3) uint8, or what a frozen part makes of them, float32.
        targets: (B, C) float32, 1 for every class that the label allows.
        soft: (B, C) float32 probabilities given by a teacher; all 0 without one.
        attributes: (B, A) float32 in 0..1, NaN where nothing was said; A is 0 where none teach.
        weights: (B,) float32 weight of each picture in the loss.
        share: (B,) float32, how much of each is left when it is mixed with its mirror image in the batch's order.
    """

    inputs: np.ndarray
    targets: np.ndarray
    soft: np.ndarray
    attributes: np.ndarray
    weights: np.ndarray
    share: np.ndarray


class BatchLoader:
    """Draws batches of a picture set by a recipe.

    Args:
        network: the whole network; of one with a frozen part (recipe.cached), views are put through that part once.
        soft: (N, C) probabilities given by a teacher, or None.

    Attributes:
        trainable: the network, or what of it is not frozen.
        steps: steps of an epoch.
    """

    def __init__(
        self, recipe: Recipe, pictures: GalaxyDataset, network: keras.Model, seed: int, soft: np.ndarray | None = None
    ) -> None:
        self._recipe, self._pictures, self._seed, self._network = recipe, pictures, seed, network
        self._view = AUGMENTATIONS[recipe.views]
        self._canvases = pictures.canvases()
        self._targets = pictures.targets()
        self._soft = np.zeros_like(self._targets) if soft is None else soft.astype(np.float32)
        said = pictures.attributes if recipe.attributes else None
        self._attributes = np.zeros((len(pictures), 0), np.float32) if said is None else said
        self._labelled = pictures.labelled
        self._balance = None if recipe.balance == "root" else recipe.balance
        self._weights = np.ones(len(pictures.classes), np.float32)
        if self._balance:
            labels = pictures.labels[self._labelled]
            self._weights = class_weights(labels, self._balance, len(pictures.classes), pictures.classes)
        self._odds = draw_weights(pictures.labels, pictures.groups)
        self.trainable, self._frozen, self._cache = network, None, None
        if recipe.cached:
            from .vgg import frozen_part, trainable_part

            self.trainable, self._frozen = trainable_part(network), frozen_part(network)
            self._cache = self._fill()
        self.steps = max(1, round(len(self._indices(0)) / recipe.batch))

    def _fill(self) -> list[np.ndarray]:
        """Put `cached` views of every picture through the frozen part: one array (N, ...) a view.

        The views are the same for every seed, so that they are made once.
        """
        assert self._frozen is not None
        recipe, pictures = self._recipe, self._pictures
        key = cache_key(pictures.ids, pictures.margin, recipe.size, recipe.views, network=self._frozen)

        def make(number: int) -> np.ndarray:
            rng = np.random.default_rng([4, number])
            return self.frozen_features(np.stack([self._view(canvas, recipe.size, rng) for canvas in self._canvases]))

        return [cached_array(f"features{number}", key, partial(make, number)) for number in range(recipe.cached)]

    @property
    def attributes(self) -> bool:
        """Whether attributes teach."""
        return self._attributes.shape[1] > 0

    def make_average(self, build: Callable[[], keras.Model]) -> keras.Model:
        """Give the network that holds the average of the weights; the network itself where none is kept."""
        return build() if self._recipe.average else self.trainable

    def complete_network(self, trained: keras.Model) -> keras.Model:
        """Give the whole network of a trained one, its frozen part included."""
        return trained if self._frozen is None else self._network

    def frozen_features(self, images: np.ndarray) -> np.ndarray:
        """Put pictures (N, size, size, 3) uint8 through the frozen part, if there is one."""
        if self._frozen is None:
            return images
        parts = [
            np.asarray(self._frozen(images[at : at + 64].astype(np.float32), training=False), np.float16)
            for at in range(0, len(images), 64)
        ]
        return np.concatenate(parts)

    def _indices(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, epoch])
        if self._balance is None:
            return rng.choice(len(self._odds), len(self._labelled), p=self._odds)
        return self._labelled[draw_balanced(self._pictures.labels[self._labelled], self._balance, self._seed, epoch)]

    def epoch(self, epoch: int, plain: bool = True) -> Iterator[Batch]:
        """Draw the batches of an epoch (from 0); `plain` ones are not mixed."""
        size, mixup = self._recipe.batch, self._recipe.mixup
        rng = np.random.default_rng([self._seed, epoch, 1])
        indices = np.resize(self._indices(epoch), self.steps * size)
        for at in range(0, len(indices), size):
            drawn = indices[at : at + size]
            share = rng.beta(mixup, mixup, size) if mixup > 0 and not plain else np.ones(size)
            labels = self._pictures.labels[drawn]
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
        """Draw inputs over which the statistics of averaged weights are measured."""
        for number, batch in enumerate(self.epoch(self._recipe.epochs)):
            if number >= batches:
                return
            yield batch.inputs

    def calibration(self, most: int) -> np.ndarray:
        """Draw at most `most` plain pictures, as equally from the classes as their counts allow: (n, size, size, 3)."""
        labels = self._pictures.labels
        order = np.random.default_rng(self._seed).permutation(self._labelled)
        ranks = np.zeros(len(order), int)
        for label in range(len(self._pictures.classes)):
            of_class = np.flatnonzero(labels[order] == label)
            ranks[of_class] = np.arange(len(of_class))
        return self._pictures.take(order[np.argsort(ranks, kind="stable")[:most]]).images(self._recipe.size)
