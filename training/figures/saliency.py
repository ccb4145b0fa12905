"""What a classifier looks at: heat maps of its decisions, its inner pictures, what its filters answer to.

Maps only, arrays in and arrays out; `training.sheets` makes pictures of them. A network is any that maps (N, S, S, 3)
RGB levels 0..255 to (N, C) logits, its layers in one graph or in models within models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ...errors import UserError

BATCH = 32
CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
POOLS = (layers.MaxPooling2D, layers.AveragePooling2D)
PASSED_OVER = (*POOLS, layers.Dropout, layers.SpatialDropout2D)
"""Not read by Grad-CAM: the paper, too, reads VGG-16 before its last pool, where the map has twice the detail."""

NOISE = 20.0
"""Sigma in levels of the noise about mid-grey from which a filter's pattern grows."""
STRIDE = 6.0
"""Root mean square in levels of one step of the ascent."""


class ExplainError(UserError):
    """A network or a picture that cannot be read or explained; the message says which and what to do."""

    exit_code = 2


class _Tap(layers.Layer):
    """A layer that does what another does, and keeps what came out."""

    def __init__(self, layer: keras.Layer, seen: list[tuple[keras.Layer, Any]]) -> None:
        super().__init__(autocast=False)
        self._layer, self._keep = layer, lambda output: seen.append((layer, output))

    def call(self, *args: Any, **kwargs: Any) -> Any:
        output = self._layer(*args, **kwargs)
        self._keep(output)
        return output

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self._layer.compute_output_spec(*args, **kwargs)


class _Tapped:
    """A network whose spatial layers can be read; it shares the weights, and leaves the network as it was."""

    def __init__(self, model: keras.Model) -> None:
        self._seen: list[tuple[keras.Layer, Any]] = []
        if not getattr(model, "inputs", None):
            raise ExplainError(
                f"the model '{model.name}' is not a graph of layers, so they cannot be read: "
                "build it with keras.Model(inputs, outputs) or keras.Sequential"
            )
        self.shape = model.input_shape
        if not isinstance(self.shape, tuple) or len(self.shape) != 4:
            raise ExplainError(f"the model '{model.name}' takes {self.shape}; only one of pictures can be explained")
        if not isinstance(model.output_shape, tuple) or len(model.output_shape) != 2:
            raise ExplainError(
                f"the model '{model.name}' gives {model.output_shape}, not one score a class: "
                "only a classifier can be explained"
            )
        # A copy of the graph reaches layers in models within models, whose tensors the outer graph does not know.
        self._model = keras.models.clone_model(
            model, clone_function=lambda layer: _Tap(layer, self._seen), recursive=True
        )

    def __call__(self, images: Any) -> tuple[tf.Tensor, list[tuple[keras.Layer, tf.Tensor]]]:
        """Give the logits (N, C), and in order each layer from the first convolution on with its (N, h, w, c)."""
        self._seen.clear()
        logits = self._model(images, training=False)
        spatial = [(layer, output) for layer, output in self._seen if tf.is_tensor(output) and output.shape.rank == 4]
        first = next((at for at, (layer, _) in enumerate(spatial) if isinstance(layer, CONVOLUTIONS)), None)
        if first is None:
            raise ExplainError("the model has no convolution, so nothing in it has a place in the picture to show")
        return logits, spatial[first:]

    def check(self, images: np.ndarray) -> np.ndarray:
        """Return the pictures as float32 if they are what the network takes."""
        images = np.asarray(images)
        wanted = self.shape[1:]
        fits = images.ndim == 4 and all(
            want in (None, have) for want, have in zip(wanted, images.shape[1:], strict=True)
        )
        if not fits or images.dtype != np.uint8:
            sides = " x ".join("any" if side is None else str(side) for side in wanted)
            raise ExplainError(
                f"the pictures are {images.dtype} of shape {images.shape}; the model takes uint8 of "
                f"{sides}: cut or resize them first"
            )
        return images.astype(np.float32)


def grad_cam(
    model: keras.Model, images: np.ndarray, class_index: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Map where the evidence for a class lies, by Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391).

    The channels of the last spatial layer (pools and dropout passed over), each weighted by the mean gradient of the
    class's logit, are added; what is left of zero is the evidence. A map is divided by its own maximum, so maps
    of different pictures show where, not how strongly.

    Args:
        images: (N, S, S, 3) uint8 RGB of the network's size.
        class_index: (N,) the class to look for in each; by default the one that the network names.

    Returns:
        heat, (N, S, S) float32 0..1, all 0 where nothing speaks for the class; and the classes (N,) int.

    Raises:
        ExplainError: pictures, classes or the network do not fit.
    """
    tapped = _Tapped(model)
    levels = tapped.check(images)
    classes = model.output_shape[1]
    if class_index is not None:
        class_index = np.asarray(class_index)
        whole = class_index.shape == (len(levels),) and np.issubdtype(class_index.dtype, np.integer)
        if not whole or (class_index.size and not 0 <= class_index.min() <= class_index.max() < classes):
            raise ExplainError(
                f"class_index must hold one integer in 0..{classes - 1} for each of the {len(levels)} pictures"
            )
    heat, named = np.zeros(levels.shape[:3], np.float32), np.zeros(len(levels), int)
    for at in range(0, len(levels), BATCH):
        part = slice(at, at + BATCH)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            pictures = tf.constant(levels[part])
            tape.watch(pictures)
            logits, spatial = tapped(pictures)
            named[part] = np.argmax(logits, axis=1) if class_index is None else class_index[part]
            chosen = tf.gather(logits, named[part], axis=1, batch_dims=1)
        features = next(
            (
                output
                for layer, output in reversed(spatial)
                if not isinstance(layer, PASSED_OVER) and output.shape[1] * output.shape[2] > 1
            ),
            None,
        )
        if features is None:
            raise ExplainError("no layer of the model keeps more than one place of the picture: no map to draw")
        gradients = tape.gradient(chosen, features, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
        maps = tf.nn.relu(tf.reduce_sum(weights * features, axis=3)).numpy().astype(np.float32)
        size = levels.shape[2], levels.shape[1]
        for index, one in enumerate(maps, at):
            wide = cv2.resize(one, size, interpolation=cv2.INTER_LINEAR)
            heat[index] = wide / wide.max() if wide.max() > 0 else 0.0
    return heat, named


def activations(
    model: keras.Model, image: np.ndarray, kinds: tuple[type, ...] = (*CONVOLUTIONS, *POOLS)
) -> dict[str, np.ndarray]:
    """Give what each convolution and pool makes of one picture.

    Args:
        image: (S, S, 3) uint8 RGB of the network's size.
        kinds: classes of layers to give.

    Returns:
        layer name -> (h, w, c) float32, in the order of the network. A layer used again is named again, with "#2".

    Raises:
        ExplainError: the picture or the network does not fit.
    """
    tapped = _Tapped(model)
    _, spatial = tapped(tapped.check(np.asarray(image)[None]))
    return {name: output[0].numpy() for name, (layer, output) in _named(spatial).items() if isinstance(layer, kinds)}


def filter_patterns(model: keras.Model, layer: str, filters: Sequence[int], seed: int, steps: int = 40) -> np.ndarray:
    """Grow the picture that each filter answers to most, by gradient ascent (Erhan et al. 2009, UdeM report 1341).

    From seeded noise about mid-grey, the mean answer of the filter over the picture is raised by steps along the
    gradient, each scaled to the same root mean square and clipped to 0..255. A filter that noise does not stir, as
    behind a ReLU, has no gradient and stays noise. A filter's pattern does not depend on which others are asked for.

    Args:
        layer: name of a spatial layer, as `activations` gives.
        filters: n channels of it.
        steps: steps of the ascent.

    Returns:
        (n, S, S, 3) uint8 RGB.

    Raises:
        ExplainError: there is no such layer or channel, or the network has no fixed input size.
    """
    tapped = _Tapped(model)
    shape = tapped.shape[1:]
    if None in shape:
        raise ExplainError("the model takes pictures of any size: build it for one to draw its filters")
    _, spatial = tapped(np.zeros((1, *shape), np.float32))
    known = _named(spatial)
    if layer not in known:
        raise ExplainError(f"the model has no spatial layer '{layer}'; it has {', '.join(known)}")
    channels, place = known[layer][1].shape[3], list(known).index(layer)
    wrong = [index for index in filters if not 0 <= index < channels]
    if wrong or not len(filters):
        raise ExplainError(f"the layer '{layer}' has the filters 0..{channels - 1}; asked for {wrong or 'none'}")
    grown = []
    for at in range(0, len(filters), BATCH):
        asked = list(filters[at : at + BATCH])
        start = [np.random.default_rng([seed, index]).normal(128.0, NOISE, shape) for index in asked]
        pictures = tf.constant(np.clip(start, 0, 255), tf.float32)
        for _ in range(steps):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(pictures)
                answer = tf.gather(tapped(pictures)[1][place][1], asked, axis=3, batch_dims=0)
                # Picture i is for filter i alone: only the diagonal counts.
                wanted = tf.reduce_sum(tf.linalg.diag_part(tf.reduce_mean(answer, axis=(1, 2))))
            slope = tape.gradient(wanted, pictures)
            size = tf.sqrt(tf.reduce_mean(tf.square(slope), axis=(1, 2, 3), keepdims=True))
            pictures = tf.clip_by_value(pictures + STRIDE * tf.math.divide_no_nan(slope, size), 0.0, 255.0)
        grown.append(np.rint(pictures.numpy()).astype(np.uint8))
    return np.concatenate(grown)


def _named(spatial: list[tuple[keras.Layer, tf.Tensor]]) -> dict[str, tuple[keras.Layer, tf.Tensor]]:
    """Name each spatial output by its layer; one that bears a name already taken gets "#2" and so on."""
    found: dict[str, tuple[keras.Layer, tf.Tensor]] = {}
    for layer, output in spatial:
        name, again = layer.name, 1
        while name in found:
            again += 1
            name = f"{layer.name}#{again}"
        found[name] = (layer, output)
    return found
