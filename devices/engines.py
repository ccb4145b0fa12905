"""The inference engines: their names, packages, and the model files they run.

Nothing here imports an engine.
"""

from __future__ import annotations

import importlib.util
from typing import NamedTuple


class EngineInfo(NamedTuple):
    """The names and package of an engine.

    Attributes:
        name: as in device profiles and after ``--engine``.
        runtime: the kind of model file it runs, as in a bundle's manifest: ``tflite`` or ``onnx``.
        module: what is imported.
        distribution: the package that provides it, as in `importlib.metadata`.
        install: what ``pip install`` is given; tflite-runtime needs Python 3.11.
        accelerator: whether it needs a device of its own in addition to the package.
    """

    name: str
    runtime: str
    module: str
    distribution: str
    install: str
    accelerator: bool = False


ENGINES = {
    info.name: info
    for info in (
        EngineInfo("litert", "tflite", "ai_edge_litert.interpreter", "ai-edge-litert", "ai-edge-litert"),
        EngineInfo(
            "tflite-runtime", "tflite", "tflite_runtime.interpreter", "tflite-runtime",
            "galaxy-edge[tflite-runtime]",
        ),
        EngineInfo("onnxruntime", "onnx", "onnxruntime", "onnxruntime", "galaxy-edge[onnx]"),
        EngineInfo("edgetpu", "edgetpu", "ai_edge_litert.interpreter", "ai-edge-litert", "ai-edge-litert", True),
    )
}  # fmt: skip
"""Every engine by its name; of those that run the same files, the preferred one first."""
ENGINE_NAMES = tuple(ENGINES)


def engines_for(runtime: str) -> tuple[str, ...]:
    """Return the engines that run a kind of model file on the processor.

    They are names, the preferred engine first.
    """
    return tuple(info.name for info in ENGINES.values() if info.runtime == runtime and not info.accelerator)


def is_installed(name: str) -> bool:
    """Return whether an engine is installed, without importing it.

    That is its package, and for an accelerator its library too.
    """
    if not _has_accelerator_library(name):
        return False
    return importlib.util.find_spec(ENGINES[name].module.split(".")[0]) is not None


def installed_version(name: str) -> str | None:
    """Return the installed version of an engine; None where it is not installed."""
    from importlib import metadata

    if not _has_accelerator_library(name):
        return None
    try:
        return metadata.version(ENGINES[name].distribution)
    except metadata.PackageNotFoundError:
        return None


def _has_accelerator_library(name: str) -> bool:
    if name != "edgetpu":
        return True
    from .edgetpu import find_library

    return find_library() is not None
