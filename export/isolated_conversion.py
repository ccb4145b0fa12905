"""Convert networks of unknown origin in a child process.

Each result is first loaded in another one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..models.manifest import BundleError
from ..runtime.inference.sandbox import check_model_loads
from ..runtime.system.isolated import IsolatedError, IsolatedProcess, IsolatedRefusal
from .errors import ExportError
from .saved_model_check import check_saved_model
from .tflite.convert import convert_saved_model
from .tflite.reader import IDENTIFIER

SECONDS = 900.0
"""Time limit of a conversion."""
MODULES = ("numpy", "tensorflow", "tf2onnx", "onnxruntime", "ai_edge_quantizer.quantizer")


class IsolatedConverter:
    """Conversions in one child process, which is started by the first one.

    See `runtime.system.isolated`.

    Args:
        where: name of the network in messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._process = IsolatedProcess(MODULES)

    def __enter__(self) -> IsolatedConverter:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    def convert(self, function: Callable[..., bytes], *arguments: Any) -> bytes:
        """Run a conversion, then load its result in another process.

        Args:
            function, arguments: a function of a module that returns a TFLite or ONNX file.

        Raises:
            ExportError: the conversion fails, or its result is not safe to load.
        """
        try:
            content = self._process.call(function, *arguments, seconds=SECONDS)
        except IsolatedRefusal as error:
            raise ExportError(str(error)) from None
        except IsolatedError as error:
            raise ExportError(f"{self._where} is not safe to convert: {error}") from None
        self.check_loads(content, "tflite" if content[4:8] == IDENTIFIER else "onnx")
        return content

    def check_loads(self, content: bytes, runtime: str) -> None:
        """Load a file for the first time, in a separate process.

        Raises:
            ExportError: it is not safe to load.
        """
        try:
            check_model_loads(content, runtime, self._where)
        except BundleError as error:
            raise ExportError(str(error)) from None


def convert_foreign_saved_model(folder: Path) -> bytes:
    """Check the operators of a SavedModel, then convert it to float TFLite.

    Raises:
        ExportError: it has operators that do more than compute, or cannot be converted.
    """
    check_saved_model(folder)
    return convert_saved_model(folder, custom=True)
