"""Run TFLite files with LiteRT (ai-edge-litert) or tflite-runtime.

The interface of both is the same.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from ...devices.engines import ENGINES, is_installed
from ...errors import UsageError
from ...models.bundle import Bundle
from ...models.manifest import BundleError, Variant
from ..system.native_output import suppress_native_stderr
from .engine import RawTensor


class TFLiteEngine:
    """A TFLite interpreter bound to one variant of a bundle.

    Args:
        bundle: a verified bundle.
        variant: the variant to run.
        engine: name of the engine, one of `devices.engines.ENGINE_NAMES`.
        threads: threads of an inference.
        delegate: path of the library of an accelerator; None for the processor alone.

    Raises:
        UsageError: the engine cannot be loaded.
        BundleError: the file does not agree with the manifest, or the engine or the delegate cannot run it.
    """

    def __init__(
        self, bundle: Bundle, variant: Variant, engine: str, threads: int, delegate: str | None = None
    ) -> None:
        self.name = engine
        file_name = bundle.path / variant.file
        self._interpreter = _interpreter(engine, bundle.read(variant.file), threads, str(file_name), delegate)
        inputs = self._interpreter.get_input_details()
        width, height = bundle.input_size
        if len(inputs) != 1 or tuple(inputs[0]["shape"]) != (1, height, width, 3):
            found = [tuple(int(n) for n in tensor["shape"]) for tensor in inputs]
            raise BundleError(
                f"{file_name} takes {found}, not one input of {(1, height, width, 3)} as its manifest says"
            )
        self._input = inputs[0]["index"]
        self._dtype = inputs[0]["dtype"]
        if self._dtype not in (np.uint8, np.int8, np.float32):
            raise BundleError(f"{file_name} takes {np.dtype(self._dtype).name}, not raw uint8, int8 or float32 pixels")
        tensors = {tensor["name"]: tensor for tensor in self._interpreter.get_output_details()}
        self._outputs = []
        for spec in variant.outputs:
            tensor = tensors.get(spec.tensor)
            if tensor is None:
                raise BundleError(
                    f"{file_name} has no output tensor '{spec.tensor}', which its manifest calls {spec.name}"
                )
            if tuple(tensor["shape"]) != spec.shape or np.dtype(tensor["dtype"]).name != spec.dtype:
                raise BundleError(
                    f"{file_name}: output {spec.name} is not {spec.dtype} {spec.shape} as its manifest says"
                )
            scale, zero_point = tensor["quantization"]
            self._outputs.append((spec.name, tensor["index"], float(scale), int(zero_point)))

    def __call__(self, batch: np.ndarray) -> dict[str, RawTensor]:
        """Run on a (1, H, W, 3) uint8 RGB batch.

        Return the raw outputs, without the batch axis, by name.
        """
        # int8 pixels are level - 128: in two's complement, the highest bit inverted.
        pixels = (batch ^ 0x80).view(np.int8) if self._dtype == np.int8 else batch.astype(self._dtype, copy=False)
        self._interpreter.set_tensor(self._input, pixels)
        self._interpreter.invoke()
        return {
            name: RawTensor(self._interpreter.get_tensor(index)[0], scale, zero_point)
            for name, index, scale, zero_point in self._outputs
        }


def _interpreter(engine: str, content: bytes, threads: int, file_name: str, delegate: str | None) -> Any:
    """Create an interpreter from verified bytes."""
    try:
        module = importlib.import_module(ENGINES[engine].module)
    except ImportError as error:
        reason = f" ({error})" if is_installed(engine) else ""
        from ...extras import install_command

        install = install_command(ENGINES[engine].install)
        raise UsageError(f"the engine {engine} cannot be loaded{reason}: {install}") from None
    try:
        with suppress_native_stderr():
            delegates = [module.load_delegate(delegate)] if delegate else None
            interpreter = module.Interpreter(
                model_content=content, num_threads=threads, experimental_delegates=delegates
            )
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{file_name} is not a network that {engine} can run: {error}") from None
    except SystemError:
        from ...extras import install_command

        # tflite-runtime 2.14 is built for numpy 1: with numpy 2 it imports, then fails here.
        raise UsageError(f"the engine {engine} needs numpy 1 here: {install_command('numpy<2')}") from None
    return interpreter
