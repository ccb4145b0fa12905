"""Which output of a foreign network is which: told by the operator that makes it, by signature, or by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..runtime.inference.detector import POSTPROCESSED
from ..runtime.inference.onnx_engine import OUTPUTS, session
from ..runtime.system.native_output import suppress_native_stderr
from .errors import ExportError
from .settings import FORMATS
from .tflite.reader import POSTPROCESS, read_tflite

RAW_OUTPUTS = ("boxes", "scores")


@dataclass(frozen=True)
class OnnxInterface:
    """What goes into an ONNX file and comes out: shapes, output name -> (shape, dtype), whether it is quantised."""

    inputs: list[tuple[int, ...]]
    outputs: dict[str, tuple[tuple[int, ...], str]]
    quantised: bool


def onnx_interface(content: bytes) -> OnnxInterface:
    """Read the ends of an ONNX file that was proved loadable."""
    import onnx

    network = session(content, "the ONNX file")
    graph = onnx.load_model_from_string(content).graph
    ops = {node.op_type for node in graph.node}
    return OnnxInterface(
        [tuple(entry.shape) for entry in network.get_inputs()],
        {found.name: (tuple(found.shape), OUTPUTS.get(found.type, found.type)) for found in network.get_outputs()},
        bool(ops & {"QuantizeLinear", "QLinearConv", "ConvInteger"}),
    )


def check_self_contained(content: bytes, where: str) -> None:
    """See that an ONNX file holds its own weights: a bundle takes one file.

    Raises:
        ExportError: it keeps weights in other files.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise ExportError("reading ONNX needs the package onnx: pip install 'galaxy-edge[export]'") from None
    try:
        graph = onnx.load_model_from_string(content).graph
    except DecodeError:
        return  # the engine will say so
    outside = [one.name for one in graph.initializer if one.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise ExportError(
            f"{where} keeps {len(outside)} of its weights in another file ({outside[0]}): save it as one "
            "file first, with onnx.save_model(onnx.load(...), ..., save_as_external_data=False)"
        )


def find_outputs(form: str, content: bytes, named: dict[str, str]) -> dict[str, str]:
    """Find the outputs of a foreign detector.

    Args:
        form: of `settings.FORMATS`; content: the file.
        named: names that the user gave, e.g. ``{"boxes": "raw_boxes"}``.

    Returns:
        Our name -> tensor in the file: the four of `POSTPROCESSED`, or ``boxes`` and ``scores``.

    Raises:
        ExportError: it cannot be told.
    """
    if FORMATS[form].runtime == "onnx":
        known = {name: name for name in onnx_interface(content).outputs}
    else:
        graph = read_tflite(content).graph
        for op in graph.ops:
            if op.name == POSTPROCESS and len(op.outputs) == len(POSTPROCESSED):
                # The operator's outputs have a fixed order; the file's, which some converters shuffle, is not trusted.
                return dict(zip(POSTPROCESSED, (graph.tensors[number].name for number in op.outputs), strict=True))
        known = {
            graph.tensors[number].name: graph.tensors[number].name for number in graph.outputs
        } | _signature_outputs(content)
    for wanted in (POSTPROCESSED, RAW_OUTPUTS):
        found = {name: known[named.get(name, name)] for name in wanted if named.get(name, name) in known}
        if len(found) == len(wanted):
            return found
    raise ExportError(
        f"which output is which cannot be told: there are {', '.join(known)}. Name them in --decode FILE: [outputs], "
        'boxes = "...", scores = "..."'
    )


def describe_outputs_by_name(
    form: str, content: bytes, outputs: dict[str, str], named: dict[str, str]
) -> list[dict[str, Any]]:
    """Describe outputs as a manifest does; where a form does not have those tensors, they are found anew."""
    if FORMATS[form].runtime == "onnx":
        ends = onnx_interface(content).outputs
        if not set(outputs.values()) <= ends.keys():
            outputs = find_outputs(form, content, named)
        return [
            {"name": name, "tensor": tensor, "shape": list(ends[tensor][0]), "dtype": ends[tensor][1]}
            for name, tensor in outputs.items()
        ]
    from ai_edge_litert.interpreter import Interpreter

    with suppress_native_stderr():
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
    details = {found["name"]: found for found in interpreter.get_output_details()}
    if not set(outputs.values()) <= details.keys():
        outputs = find_outputs(form, content, named)
    missing = [tensor for tensor in outputs.values() if tensor not in details]
    if missing:
        raise ExportError(f"{', '.join(missing)} is made inside the network but does not leave it")
    return [
        {
            "name": name,
            "tensor": tensor,
            "shape": [int(n) for n in details[tensor]["shape"]],
            "dtype": np.dtype(details[tensor]["dtype"]).name,
        }
        for name, tensor in outputs.items()
    ]


def _signature_outputs(content: bytes) -> dict[str, str]:
    """Read the names that a signature in the file gives its outputs."""
    from ai_edge_litert.interpreter import Interpreter

    with suppress_native_stderr():
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
    if not interpreter.get_signature_list():
        return {}
    return {name: found["name"] for name, found in interpreter.get_signature_runner().get_output_details().items()}
