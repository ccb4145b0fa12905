"""Explain a classifier with sheets of heat maps, activations and filters."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from ...files import write_atomic
from ...models.decode import softmax
from ...models.labels import CLASSES
from ...runtime.imaging.encoding import encode_image
from ..keras_file import KerasFileError, load_keras_file
from ..run import read_record
from .saliency import ExplainError, activations, filter_patterns, grad_cam
from .saliency_sheets import activation_sheet, evenly, filter_sheet, heat_sheet

logger = logging.getLogger(__name__)

MAX_IMAGES = 60
"""Maximum number of images on a heat sheet."""
MAX_PATTERN_LAYERS, MAX_PATTERNS, ASCENT_STEPS = 4, 12, 40
"""Maximum number of layers on a sheet of filters, of filters per layer, and steps of the gradient ascent."""


def load_model(path: Path) -> keras.Model:
    """Load the Keras model of a finished run.

    Args:
        path: the run's folder, or its .keras file; of any origin, see `load_keras_file`.

    Raises:
        ExplainError: there is no model, it cannot be read, or its layers cannot be accessed.
    """
    file = path / "model.keras" if path.is_dir() else path
    hint = "this command needs the Keras model of a run: name the run's folder or its model.keras"
    if not path.exists():
        raise ExplainError(f"{path} does not exist: name a run's folder or a .keras file")
    if (path / "bundle.toml").exists():
        raise ExplainError(f"{path} is a bundle, which contains no Keras model; {hint}")
    if not file.exists():
        raise ExplainError(f"{path} contains no model.keras: name the folder of a finished run of a classifier")
    with file.open("rb") as stream:
        head = stream.read(8)
    if file.suffix == ".tflite" or head[4:] == b"TFL3":
        raise ExplainError(f"{file} is a TFLite model, whose layers have no gradients; {hint}")
    if file.suffix != ".keras" or not zipfile.is_zipfile(file):
        raise ExplainError(f"{file} is not a .keras file, or is truncated; {hint}")
    try:
        return load_keras_file(file)
    except KerasFileError as error:
        raise ExplainError(str(error)) from None


def classes_of(path: Path, model: keras.Model) -> tuple[Sequence[str], float]:
    """Return the class names and the temperature of a model.

    Without a run's record, a model with as many outputs as there are galaxy classes has their names; other models have
    "class 0", "class 1" and so on. Its temperature is then 1.
    """
    folder = path if path.is_dir() else path.parent
    if (folder / "run.json").is_file():
        recorded = read_record(folder).model
        if recorded:
            return recorded["classes"], recorded["decode"]["temperature"]
    count = model.output_shape[-1]
    return (CLASSES if count == len(CLASSES) else [f"class {number}" for number in range(count)]), 1.0


# Long because it writes the three sheets in the order in which they need each other.
def explain_model(
    model: keras.Model,
    images: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str],
    out: Path,
    seed: int,
    truth: Sequence[str | None] | None = None,
    temperature: float = 1.0,
) -> list[Path]:
    """Write sheets that explain a classifier: heat maps, activations, filters.

    The files are ``heat.png``, ``activations.png`` (of the first image) and ``filters.png``.

    Args:
        images: (N, S, S, 3) uint8 RGB network inputs, N at least 1; the first `MAX_IMAGES` are shown.
        names: N titles of the images.
        classes: class names in output order.
        out: folder for the sheets; it is created if missing.
        seed: seed of the noise from which filter patterns are grown.
        truth: N true class names, None where unknown.
        temperature: divisor of the logits, see `softmax`.

    Returns:
        The files written.

    Raises:
        ExplainError: model, images and names do not match, or a sheet cannot be written.
    """
    if not len(images) or len(names) != len(images) or (truth is not None and len(truth) != len(images)):
        raise ExplainError(f"{len(images)} images, {len(names)} names: pass at least one image, and a name for each")
    if len(images) > MAX_IMAGES:
        logger.info("showing the first %d of %d images", MAX_IMAGES, len(images))
        images, names = images[:MAX_IMAGES], names[:MAX_IMAGES]
    if model.output_shape[1] != len(classes):
        raise ExplainError(f"the model has {model.output_shape[1]} outputs, but {len(classes)} class names were given")
    logger.info("computing heat maps of %d images", len(images))
    heat, shown = grad_cam(model, images)
    logits = np.concatenate(
        [model(images[at : at + 32].astype(np.float32), training=False).numpy() for at in range(0, len(images), 32)]
    )
    files = [out / "heat.png", out / "activations.png", out / "filters.png"]
    write_png(files[0], heat_sheet(images, heat, softmax(logits, temperature), shown, names, classes, truth))
    maps = activations(model, images[0])
    write_png(files[1], activation_sheet(images[0], maps))
    patterns = {}
    # A depthwise filter has one input channel behind a ReLU, which noise often does not activate; prefer the others.
    across = list(activations(model, images[0], (keras.layers.Conv2D, keras.layers.SeparableConv2D))) or list(maps)
    for name in evenly(across, MAX_PATTERN_LAYERS):
        filters = evenly(range(maps[name].shape[2]), MAX_PATTERNS)
        logger.info("computing patterns of %d filters of %s", len(filters), name)
        patterns[name] = filters, filter_patterns(model, name, filters, seed, ASCENT_STEPS)
    write_png(files[2], filter_sheet(patterns))
    return files


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image (H, W, 3) uint8 RGB atomically.

    Raises:
        ExplainError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, encode_image(image))
    except OSError as error:
        raise ExplainError(f"{path} cannot be written: {error.strerror}") from None
