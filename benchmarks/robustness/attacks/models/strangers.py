"""Networks of unknown origin: SavedModels with side effects, huge ONNX files.

The ONNX files take all memory.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import numpy as np

from .....errors import UserError
from .....export.errors import ExportError
from .....export.saved_model_check import check_saved_model
from .....runtime.inference.sandbox import check_model_loads
from ...attack import Attack, NotPossible, Outcome

OPERATORS = (
    "WriteFile", "ReadFile", "PyFunc", "EagerPyFunc", "PyFuncStateless", "SaveV2", "RestoreV2", "MergeV2Checkpoints",
    "PrintV2", "MatchingFiles", "InitializeTableFromTextFileV2", "TextLineDataset", "Recv", "RpcCall", "NobodyKnowsIt",
)  # fmt: skip
POSITIONS = "graph", "function", "nested function", "second graph"
GIANT_BYTES = 24 * 2**30
NETWORKS_PER_GIANT = 100
LIMIT_MIB = 256
"""Memory by which this process may grow."""


def run(count: int, folder: Path) -> Outcome:
    """Check `count` SavedModels with one such operator, and an ONNX file per hundred."""
    try:
        import onnx
        from tensorflow.core.protobuf import saved_model_pb2
    except ImportError:
        raise NotPossible("the extras train and export") from None
    random = np.random.default_rng(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    accepted = 0
    for number in range(count):
        operator = OPERATORS[number % len(OPERATORS)]
        model = saved_model_pb2.SavedModel()
        _insert(model, operator, POSITIONS[int(random.integers(len(POSITIONS)))])
        (folder / "saved_model.pb").write_bytes(model.SerializeToString())
        try:
            check_saved_model(folder)
            accepted += 1
        except ExportError as error:
            accepted += operator not in str(error)
    giants = max(1, count // NETWORKS_PER_GIANT)
    for number in range(giants):
        try:
            check_model_loads(_giant(onnx, GIANT_BYTES + 4 * number), "onnx", "stranger.onnx")
            accepted += 1
        except UserError:
            pass
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    written = len(os.listdir(folder)) - 1
    figures: dict[str, int | float | str] = {"networks": count + giants, "accepted": accepted, "files_written": written}
    figures["memory_grown_mib"] = grown
    return Outcome(figures, not accepted and not written and grown < LIMIT_MIB)


def _insert(model: Any, operator: str, position: str) -> None:
    """Add a graph that has an operator at a position.

    It is among harmless nodes, in a function, in one that it calls, or in a second graph.
    """
    graph = model.meta_graphs.add()
    graph.graph_def.node.add(name="image", op="Placeholder")
    if position == "second graph":
        graph = model.meta_graphs.add()
        graph.graph_def.node.add(name="image", op="Placeholder")
    if position in ("graph", "second graph"):
        graph.graph_def.node.add(name="act", op=operator, input=["image"])
        return
    functions = graph.graph_def.library.function
    inner = functions.add()
    inner.signature.name = "inner"
    inner.node_def.add(name="act", op=operator)
    called = "inner"
    if position == "nested function":
        outer = functions.add()
        outer.signature.name = called = "outer"
        outer.node_def.add(name="call", op="inner")
    node = graph.graph_def.node.add(name="call", op="PartitionedCall", input=["image"])
    node.attr["f"].func.name = called


def _giant(onnx: Any, size: int) -> bytes:
    """Return an ONNX network whose output is computed from a tensor of `size` bytes."""
    helper, proto = onnx.helper, onnx.TensorProto
    shape = helper.make_tensor("shape", proto.INT64, [1], [size // 4])
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("ConstantOfShape", ["shape"], ["giant"]),
        helper.make_node("ReduceMean", ["giant"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["image"], ["pixels"], to=proto.FLOAT),
        helper.make_node("Add", ["pixels", "mean"], ["result"]),
    ]
    inputs = [helper.make_tensor_value_info("image", proto.UINT8, (1, 8, 8, 3))]
    outputs = [helper.make_tensor_value_info("result", proto.FLOAT, (1, 8, 8, 3))]
    graph = helper.make_graph(nodes, "giant", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


ATTACK = Attack(
    promise="A network of unknown origin that does more than compute is refused before it is loaded, and one that "
    "takes all memory ends only the process in which it is tried.",
    method="{count} SavedModels with one of 15 such operators in a graph, a function, a nested function or a second "
    "graph, and an ONNX file of 24 GiB of memory for each hundred",
    run=run,
    count=2000,
    small_count=60,
)
