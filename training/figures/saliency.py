"""Grad-CAM heat maps, activations and filter patterns of a classifier.

Arrays in, arrays out.

A network maps (N, S, S, 3) RGB levels 0..255 to (N, C) logits. Its layers may be in one graph or in nested models.
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
SKIPPED = (*POOLS, layers.Dropout, layers.SpatialDropout2D)
"""Layers that Grad-CAM skips: the paper also uses VGG-16 before its last pooling, where maps have twice the detail."""

NOISE = 20.0
"""Standard deviation in levels of the noise around mid-grey from which a filter pattern is grown."""
STEP_SIZE = 6.0
"""Root mean square in levels of one step of the gradient ascent."""


class ExplainError(UserError):
    """A network or an image that cannot be read or explained."""

    exit_code = 2


class _Tap(layers.Layer):  # type: ignore[misc]
    """A layer that calls another one and records its output."""

    def __init__(self, layer: keras.Layer, seen: list[tuple[keras.Layer, Any]]) -> None:
        super().__init__(autocast=False)
        self._layer, self._keep = layer, lambda output: seen.append((layer, output))

    def call(self, *args: Any, **kwargs: Any) -> Any:
        output = self._layer(*args, **kwargs)
        self._keep(output)  # type: ignore[no-untyped-call]
        return output

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self._layer.compute_output_spec(*args, **kwargs)


class _Tapped:
    """A copy of a network that records its spatial outputs.

    It shares the weights and does not change the network.
    """

    def __init__(self, model: keras.Model) -> None:
        self._seen: list[tuple[keras.Layer, Any]] = []
        if not getattr(model, "inputs", None):
            raise ExplainError(
                f"the model '{model.name}' is not a graph of layers, so they cannot be read: "
                "build it with keras.Model(inputs, outputs) or keras.Sequential"
            )
        self.shape = model.input_shape
        if not isinstance(self.shape, tuple) or len(self.shape) != 4:
            raise ExplainError(f"the model '{model.name}' takes {self.shape}; only a model of images can be explained")
        if not isinstance(model.output_shape, tuple) or len(model.output_shape) != 2:
            raise ExplainError(
                f"the model '{model.name}' returns {model.output_shape}, not one score per class: "
                "only a classifier can be explained"
            )
        # A copy of the graph also reaches the layers of nested models, whose tensors are not part of the outer graph.
        self._model = keras.models.clone_model(
            model, clone_function=lambda layer: _Tap(layer, self._seen), recursive=True
        )

    def __call__(self, images: Any) -> tuple[tf.Tensor, list[tuple[keras.Layer, tf.Tensor]]]:
        """Run the network; return its logits (N, C) and its spatial outputs.

        The latter are each layer from the first convolution on, with its output (N, h, w, c).
        """
        self._seen.clear()
        logits = self._model(images, training=False)
        spatial = [(layer, output) for layer, output in self._seen if tf.is_tensor(output) and output.shape.rank == 4]
        first = next((at for at, (layer, _) in enumerate(spatial) if isinstance(layer, CONVOLUTIONS)), None)
        if first is None:
            raise ExplainError("the model has no convolution, so it has no maps to show")
        return logits, spatial[first:]

    def check(self, images: np.ndarray) -> np.ndarray:
        """Check images against the network's input, and return them as float32.

        Raises:
            ExplainError: they do not have the type and shape of the network's input.
        """
        images = np.asarray(images)
        expected = self.shape[1:]
        fits = images.ndim == 4 and all(
            side in (None, given) for side, given in zip(expected, images.shape[1:], strict=True)
        )
        if not fits or images.dtype != np.uint8:
            sides = " x ".join("any" if side is None else str(side) for side in expected)
            raise ExplainError(
                f"the images are {images.dtype} of shape {images.shape}; the model takes uint8 of "
                f"{sides}: crop or resize them first"
            )
        return images.astype(np.float32)


# Long because half of it describes its arguments and the method.
def grad_cam(
    model: keras.Model, images: np.ndarray, class_index: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute heat maps of the evidence for a class, by Grad-CAM.

    See Selvaraju et al. 2017, arXiv:1610.02391.

    The channels of the last spatial layer (pooling and dropout skipped) are added, each weighted by the mean gradient
    of the class's logit; positive values are evidence. Each map is divided by its own maximum, so maps of different
    images show where the evidence is, but not how strong it is.

    Args:
        images: (N, S, S, 3) uint8 RGB of the network's size.
        class_index: (N,) the class to map in each image; by default the predicted class.

    Returns:
        Heat maps (N, S, S) float32 0..1, all 0 without evidence for the class; and the classes (N,) int.

    Raises:
        ExplainError: images, classes or the network do not match.
    """
    tapped = _Tapped(model)
    levels = tapped.check(images)
    classes = model.output_shape[1]
    if class_index is not None:
        class_index = np.asarray(class_index)
        is_integer_vector = class_index.shape == (len(levels),) and np.issubdtype(class_index.dtype, np.integer)
        if not is_integer_vector or (class_index.size and not 0 <= class_index.min() <= class_index.max() < classes):
            raise ExplainError(
                f"class_index must hold one integer in 0..{classes - 1} for each of the {len(levels)} images"
            )
    heat, mapped = np.zeros(levels.shape[:3], np.float32), np.zeros(len(levels), int)
    for at in range(0, len(levels), BATCH):
        part = slice(at, at + BATCH)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            batch = tf.constant(levels[part])
            tape.watch(batch)
            logits, spatial = tapped(batch)
            mapped[part] = np.argmax(logits, axis=1) if class_index is None else class_index[part]
            chosen = tf.gather(logits, mapped[part], axis=1, batch_dims=1)
        features = next(
            (
                output
                for layer, output in reversed(spatial)
                if not isinstance(layer, SKIPPED) and output.shape[1] * output.shape[2] > 1
            ),
            None,
        )
        if features is None:
            raise ExplainError("no layer of the model has an output of more than one pixel, so there is no map to draw")
        gradients = tape.gradient(chosen, features, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
        maps = tf.nn.relu(tf.reduce_sum(weights * features, axis=3)).numpy().astype(np.float32)
        size = levels.shape[2], levels.shape[1]
        for index, small in enumerate(maps, at):
            wide = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
            heat[index] = wide / wide.max() if wide.max() > 0 else 0.0
    return heat, mapped


def activations(
    model: keras.Model, image: np.ndarray, kinds: tuple[type, ...] = (*CONVOLUTIONS, *POOLS)
) -> dict[str, np.ndarray]:
    """Return the outputs of the convolutions and poolings for one image.

    Args:
        image: (S, S, 3) uint8 RGB of the network's size.
        kinds: classes of the layers to return.

    Returns:
        Layer name -> (h, w, c) float32, in the order of the network. A layer that is used again gets the suffix "#2".

    Raises:
        ExplainError: the image and the network do not match.
    """
    tapped = _Tapped(model)
    _, spatial = tapped(tapped.check(np.asarray(image)[None]))
    return {name: output[0].numpy() for name, (layer, output) in _named(spatial).items() if isinstance(layer, kinds)}


def filter_patterns(model: keras.Model, layer: str, filters: Sequence[int], seed: int, steps: int = 40) -> np.ndarray:
    """Generate the image to which each filter responds most, by gradient ascent.

    See Erhan et al. 2009, UdeM report 1341.

    Starting from seeded noise around mid-grey, the mean response of the filter over the image is increased by steps
    along the gradient, each scaled to the same root mean square and clipped to 0..255. A filter that does not respond
    to noise, e.g. behind a ReLU, has no gradient and its pattern stays noise. The pattern of a filter does not
    depend on which other filters are requested.

    Args:
        layer: name of a spatial layer, as returned by `activations`.
        filters: n channels of this layer.
        steps: number of steps.

    Returns:
        (n, S, S, 3) uint8 RGB.

    Raises:
        ExplainError: there is no such layer or channel, or the network has no fixed input size.
    """
    tapped = _Tapped(model)
    shape = tapped.shape[1:]
    if None in shape:
        raise ExplainError("the model takes images of any size: build it for a fixed size to draw its filters")
    _, spatial = tapped(np.zeros((1, *shape), np.float32))
    known = _named(spatial)
    if layer not in known:
        raise ExplainError(f"the model has no spatial layer '{layer}'; it has {', '.join(known)}")
    channels, position = known[layer][1].shape[3], list(known).index(layer)
    invalid = [index for index in filters if not 0 <= index < channels]
    if invalid or not len(filters):
        raise ExplainError(f"the layer '{layer}' has the filters 0..{channels - 1}; requested: {invalid or 'none'}")
    grown = []
    for at in range(0, len(filters), BATCH):
        requested = list(filters[at : at + BATCH])
        start = [np.random.default_rng([seed, index]).normal(128.0, NOISE, shape) for index in requested]
        images = tf.constant(np.clip(start, 0, 255), tf.float32)
        for _ in range(steps):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(images)
                response = tf.gather(tapped(images)[1][position][1], requested, axis=3, batch_dims=0)
                # Image i is for filter i only: use the diagonal.
                total = tf.reduce_sum(tf.linalg.diag_part(tf.reduce_mean(response, axis=(1, 2))))
            slope = tape.gradient(total, images)
            size = tf.sqrt(tf.reduce_mean(tf.square(slope), axis=(1, 2, 3), keepdims=True))
            images = tf.clip_by_value(images + STEP_SIZE * tf.math.divide_no_nan(slope, size), 0.0, 255.0)
        grown.append(np.rint(images.numpy()).astype(np.uint8))
    return np.concatenate(grown)


def _named(spatial: list[tuple[keras.Layer, tf.Tensor]]) -> dict[str, tuple[keras.Layer, tf.Tensor]]:
    """Name each spatial output by its layer.

    Further outputs of the same name get the suffix "#2" and so on.
    """
    found: dict[str, tuple[keras.Layer, tf.Tensor]] = {}
    for layer, output in spatial:
        name, count = layer.name, 1
        while name in found:
            count += 1
            name = f"{layer.name}#{count}"
        found[name] = (layer, output)
    return found
