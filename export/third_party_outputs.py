"""Identify the outputs of a third-party network.

Its post-processing operator, its signature, or their names identify them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..extras import extra_command
from ..models.manifest import OutputSpec
from ..runtime.inference.detector import POSTPROCESSED
from ..runtime.inference.onnx_engine import OUTPUTS, session
from ..runtime.system.native_output import suppress_native_stderr
from .errors import ExportError
from .settings import FORMATS
from .tflite.reader import POSTPROCESS, read_tflite

RAW_OUTPUTS = ("boxes", "scores")


@dataclass(frozen=True)
class OnnxInterface:
    """Inputs and outputs of an ONNX file.

    They are input shapes, output name -> (shape, dtype), and whether the file is quantised.
    """

    inputs: list[tuple[int, ...]]
    outputs: dict[str, tuple[tuple[int, ...], str]]
    quantised: bool


def onnx_interface(content: bytes) -> OnnxInterface:
    """Return the interface of an ONNX file that `check_model_loads` has accepted."""
    import onnx

    network = session(content, "the ONNX file")
    graph = onnx.load_model_from_string(content).graph
    ops = {node.op_type for node in graph.node}
    return OnnxInterface(
        [tuple(entry.shape) for entry in network.get_inputs()],
        {output.name: (tuple(output.shape), OUTPUTS.get(output.type, output.type)) for output in network.get_outputs()},
        bool(ops & {"QuantizeLinear", "QLinearConv", "ConvInteger"}),
    )


def check_self_contained(content: bytes, where: str) -> None:
    """Check that an ONNX file contains its weights, since a variant is one file.

    Raises:
        ExportError: some weights are in other files.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise ExportError(f"reading ONNX needs the package onnx: {extra_command('export')}") from None
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        return  # loading it reports the error
    external = [tensor.name for tensor in _tensors(model, onnx) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if external:
        raise ExportError(
            f"{where} keeps {len(external)} of its weights in another file ({external[0]}): save it as one "
            "file first, with onnx.save_model(onnx.load(...), ..., save_as_external_data=False)"
        )


def _tensors(message: Any, onnx: Any) -> Iterator[Any]:
    """Yield every tensor of an ONNX model.

    Tensors are in initialisers, attributes, inner graphs and functions.
    """
    left = [message]
    while left:
        for field, value in left.pop().ListFields():
            if field.message_type is None:
                continue
            for part in value if isinstance(value, Sequence) else [value]:
                if isinstance(part, onnx.TensorProto):
                    yield part
                else:
                    left.append(part)


def find_outputs(name: str, content: bytes, named: dict[str, str]) -> dict[str, str]:
    """Find the outputs of a third-party detector.

    Args:
        name: format, a key of `settings.FORMATS`; content: the file.
        named: names given by the user, e.g. ``{"boxes": "raw_boxes"}``.

    Returns:
        Our name -> tensor in the file: the four of `POSTPROCESSED`, or ``boxes`` and ``scores``.

    Raises:
        ExportError: the outputs cannot be identified.
    """
    if FORMATS[name].runtime == "onnx":
        known = {output: output for output in onnx_interface(content).outputs}
    else:
        graph = read_tflite(content).graph
        for op in graph.ops:
            if op.name == POSTPROCESS and len(op.outputs) == len(POSTPROCESSED):
                # The operator's outputs have a fixed order; some converters shuffle those of the file.
                return dict(zip(POSTPROCESSED, (graph.tensors[index].name for index in op.outputs), strict=True))
        names = [graph.tensors[index].name for index in graph.outputs]
        known = dict(zip(names, names, strict=True)) | _signature_outputs(content)
    for outputs in (POSTPROCESSED, RAW_OUTPUTS):
        found = {output: known[named.get(output, output)] for output in outputs if named.get(output, output) in known}
        if len(found) == len(outputs):
            return found
    raise ExportError(
        f"the outputs cannot be identified: there are {', '.join(known)}. Name them in --decode FILE: [outputs], "
        'boxes = "...", scores = "..."'
    )


def describe_outputs_by_name(
    name: str, content: bytes, outputs: dict[str, str], named: dict[str, str]
) -> list[OutputSpec]:
    """Return the manifest's description of outputs.

    Search for them again if a variant lacks those tensors.
    """
    if FORMATS[name].runtime == "onnx":
        interface = onnx_interface(content).outputs
        if not set(outputs.values()) <= interface.keys():
            outputs = find_outputs(name, content, named)
        return [
            OutputSpec(output, tensor, interface[tensor][0], interface[tensor][1]) for output, tensor in outputs.items()
        ]
    from ai_edge_litert.interpreter import Interpreter

    with suppress_native_stderr():
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
    details = {output["name"]: output for output in interpreter.get_output_details()}
    if not set(outputs.values()) <= details.keys():
        outputs = find_outputs(name, content, named)
    missing = [tensor for tensor in outputs.values() if tensor not in details]
    if missing:
        raise ExportError(f"{', '.join(missing)} is computed by the network but is not one of its outputs")
    return [
        OutputSpec(
            output,
            tensor,
            tuple(int(n) for n in details[tensor]["shape"]),
            np.dtype(details[tensor]["dtype"]).name,
        )
        for output, tensor in outputs.items()
    ]


def _signature_outputs(content: bytes) -> dict[str, str]:
    """Return the output names that the file's signature defines."""
    from ai_edge_litert.interpreter import Interpreter

    with suppress_native_stderr():
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
    if not interpreter.get_signature_list():
        return {}
    return {name: output["name"] for name, output in interpreter.get_signature_runner().get_output_details().items()}
