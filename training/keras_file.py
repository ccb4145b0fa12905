"""Load Keras models from files that hold only Keras' own layers and no code.

A ``.keras`` file names classes and functions, which Keras imports and calls when it loads the file. Its own safe mode
refuses Python code in the file, but not every function that may be named.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..runtime.system.isolated import IsolatedError, IsolatedProcess

if TYPE_CHECKING:
    import keras

SECONDS = 300.0
"""Time limit of a first load."""
MAX_CONFIG_BYTES = 2**24
_MEMBERS = frozenset({"metadata.json", "config.json", "model.weights.h5"})
_MODULES = frozenset(
    {
        "keras",
        "keras.activations",
        "keras.constraints",
        "keras.initializers",
        "keras.layers",
        "keras.losses",
        "keras.metrics",
        "keras.models",
        "keras.optimizers",
        "keras.regularizers",
        "keras.src.models.functional",
        "keras.src.models.model",
        "keras.src.models.sequential",
    }
)
"""Modules of the classes that a description may name, by their public or internal names in Keras 3."""
_REFUSED = frozenset(
    {
        "Lambda", "__lambda__", "function", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer",
        "StringLookup", "IntegerLookup", "TextVectorization", "HashedCrossing", "FeatureSpace",
    }
)  # fmt: skip
"""Layers that run code of the file, or read other files."""
_PLAIN = frozenset({"__keras_tensor__", "__numpy__", "__tensor__", "__tuple__", "__ellipsis__", "__slice__"})


class KerasFileError(UserError):
    """A file that is not a Keras model, or that may not be loaded."""


def load_keras_file(file: Path) -> keras.Model:
    """Load a ``.keras`` file of any origin, if it is safe.

    It is checked, loaded in a process with restricted rights, and only then in this process.

    A run's folder may be of unknown origin too, so its file passes through the same steps.

    Raises:
        KerasFileError: it is not a Keras model, describes more than layers of Keras, crashes, or takes too much.
    """
    check_keras_file(file)
    try:
        # Many files may be loaded: with a fork server, Keras is imported once for all of them.
        with IsolatedProcess(["keras"], start="forkserver") as process:
            process.call(_load_isolated, file.resolve(), seconds=SECONDS)
    except IsolatedError as error:
        raise KerasFileError(f"{file} is not safe to load: {error}") from None
    return _load(file)


def check_keras_file(file: Path) -> None:
    """Check that a ``.keras`` file describes layers of Keras only.

    No part of it is loaded.

    Raises:
        KerasFileError: it is damaged, or describes something else.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            others = sorted(set(archive.namelist()) - _MEMBERS)
            if others:
                raise KerasFileError(f"{file} is refused: it contains {others[0]!r}, which is not part of a network")
            if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
                raise KerasFileError(f"{file} is refused: its description is longer than {MAX_CONFIG_BYTES} bytes")
            config = json.loads(archive.read("config.json"))
        if isinstance(config, dict):
            config.pop("compile_config", None)  # the training configuration is not loaded
        refused = sorted(set(_refused(config)))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RecursionError, NotImplementedError) as error:
        raise KerasFileError(f"{file} cannot be read as a Keras model: {error}") from None
    if refused:
        raise KerasFileError(
            f"{file} is refused: it describes {', '.join(map(repr, refused[:5]))}, and only layers of Keras that "
            "contain no code are loaded"
        )


def _load(file: Path) -> keras.Model:
    import keras

    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, zipfile.BadZipFile) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise KerasFileError(f"{file} cannot be read as a Keras model: {reason}") from None


def _load_isolated(file: Path) -> None:
    _load(file)


def _refused(value: Any) -> Iterator[str]:
    """Yield the classes in a description that may not be loaded."""
    if isinstance(value, dict):
        if "class_name" in value:
            name, module = str(value["class_name"]), value.get("module")
            is_known = name in _PLAIN if module is None else module in _MODULES
            if name in _REFUSED or not is_known:
                yield f"{module}.{name}" if module else name
        for part in value.values():
            yield from _refused(part)
    elif isinstance(value, list):
        for part in value:
            yield from _refused(part)
