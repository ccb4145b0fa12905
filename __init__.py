"""galaxy-edge: find and name galaxies on small computers at telescopes.

The names in `__all__` are the Python API (docs/api.md). Each is imported when it is first used, so that
``import galaxy_edge`` stays cheap.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import UserError
    from .models.bundle import Bundle
    from .runtime.frame import Detections, Frame
    from .runtime.inference.classifier import Classifier
    from .runtime.inference.detector import Detector
    from .runtime.run_config import MqttConfig, RunConfig, SkyConfig, WebConfig
    from .runtime.session import Session
    from .runtime.sources.open_source import open_source

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "Classifier",
    "Detections",
    "Detector",
    "Frame",
    "MqttConfig",
    "RunConfig",
    "Session",
    "SkyConfig",
    "UserError",
    "WebConfig",
    "open_source",
]

_MODULES = {
    "Bundle": "models.bundle",
    "Classifier": "runtime.inference.classifier",
    "Detections": "runtime.frame",
    "Detector": "runtime.inference.detector",
    "Frame": "runtime.frame",
    "MqttConfig": "runtime.run_config",
    "RunConfig": "runtime.run_config",
    "Session": "runtime.session",
    "SkyConfig": "runtime.run_config",
    "UserError": "errors",
    "WebConfig": "runtime.run_config",
    "open_source": "runtime.sources.open_source",
}

# TensorFlow prints messages about the processor and missing GPUs when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def __getattr__(name: str) -> Any:
    """Import a name of the API when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
