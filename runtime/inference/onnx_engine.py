"""Run ONNX files with ONNX Runtime, on the processor."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...devices.engines import ENGINES, is_installed
from ...errors import UsageError
from ...extras import install_command
from ...models.bundle import Bundle
from ...models.manifest import BundleError, Variant
from ..system.native_output import suppress_native_stderr
from .engine import RawTensor

INPUTS = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
OUTPUTS = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}


class OnnxEngine:
    """An ONNX Runtime session bound to one variant of a bundle."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, variant: Variant, threads: int) -> None:
        file_name = str(bundle.path / variant.file)
        self._session = session(bundle.read(variant.file), file_name, threads)
        inputs = self._session.get_inputs()
        width, height = bundle.input_size
        if len(inputs) != 1 or tuple(inputs[0].shape) != (1, height, width, 3):
            found = [tuple(tensor.shape) for tensor in inputs]
            raise BundleError(
                f"{file_name} takes {found}, not one input of {(1, height, width, 3)} as its manifest says"
            )
        if inputs[0].type not in INPUTS:
            raise BundleError(f"{file_name} takes {inputs[0].type}, not raw uint8 or float32 pixels")
        self._input, self._dtype = inputs[0].name, INPUTS[inputs[0].type]
        tensors = {tensor.name: tensor for tensor in self._session.get_outputs()}
        for spec in variant.outputs:
            tensor = tensors.get(spec.tensor)
            if tensor is None:
                raise BundleError(f"{file_name} has no output '{spec.tensor}', which its manifest calls {spec.name}")
            if tuple(tensor.shape) != spec.shape or OUTPUTS.get(tensor.type) != spec.dtype:
                raise BundleError(
                    f"{file_name}: output {spec.name} is not {spec.dtype} {spec.shape} as its manifest says"
                )
        self._names = [spec.name for spec in variant.outputs]
        self._tensors = [spec.tensor for spec in variant.outputs]

    def __call__(self, batch: np.ndarray) -> dict[str, RawTensor]:
        """Run on a (1, H, W, 3) uint8 RGB batch.

        Return the raw outputs, without the batch axis, by name.
        """
        values = self._session.run(self._tensors, {self._input: batch.astype(self._dtype, copy=False)})
        return {name: RawTensor(value[0], 0.0, 0) for name, value in zip(self._names, values, strict=True)}


def session(content: bytes, file_name: str, threads: int = 1) -> Any:
    """Create a session from verified bytes.

    Raises:
        UsageError: ONNX Runtime is not installed.
        BundleError: it cannot run the file.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        reason = f" ({error})" if is_installed("onnxruntime") else ""
        install = install_command(ENGINES["onnxruntime"].install)
        raise UsageError(f"the engine onnxruntime cannot be loaded{reason}: {install}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Without this option, int8 sums overflow on x86 without VNNI, and results differ between machines.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 4  # fatal only: errors are raised as exceptions as well
    refusals = (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
        state.NoSuchFile,
        state.RuntimeException,
        RuntimeError,
        ValueError,
    )
    try:
        with suppress_native_stderr():
            return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except refusals as error:
        line = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise BundleError(f"{file_name} is not a network that onnxruntime can run: {line}") from None
