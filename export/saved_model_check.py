"""Check a SavedModel of unknown origin before anything loads it.

It may have no operators that do more than compute.

A SavedModel is a program: its operators can write and read files, call Python, or open connections, and its
initialiser runs when it is loaded. Only the operators of `ALLOWED` pass, in the graph and in every function. A
SavedModel also contains operators that save and restore its own weights: these pass if nothing else can reach them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import ExportError

_NAMES = """
Abs Acos Acosh Add AddN AddV2 All Angle Any ApproximateEqual ArgMax ArgMin Asin Asinh Assert Assign
AssignAddVariableOp AssignSubVariableOp AssignVariableOp Atan Atan2 Atanh AvgPool AvgPool3D BatchMatMul
BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd BiasAddV1 Bitcast BitwiseAnd BitwiseOr BitwiseXor
BroadcastArgs BroadcastTo Bucketize Case Cast Ceil CheckNumerics ClipByValue CombinedNonMaxSuppression Complex
ComplexAbs Concat ConcatOffset ConcatV2 Conj Const ControlTrigger Conv Conv2D Conv2DBackpropInput Conv3D
Conv3DBackpropInputV2 Cos Cosh CropAndResize Cross Cumprod Cumsum DataFormatDimMap DataFormatVecPermute
DepthToSpace DepthwiseConv2dNative Dequantize Diag DiagPart Dilation2D DisableCopyOnRead Div DivNoNan
DynamicPartition DynamicStitch Einsum Elu EmptyTensorList EnsureShape Enter Equal Erf Erfc Exit Exp ExpandDims
Expm1 ExtractImagePatches FFT FFT2D FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3
Gather GatherNd GatherV2 Greater GreaterEqual HSVToRGB IFFT IFFT2D IRFFT IRFFT2D Identity IdentityN If Imag Inv
Invert InvertPermutation IsFinite IsInf IsNan IsVariableInitialized L2Loss LRN LeakyRelu LeftShift Less
LessEqual Lgamma LinSpace ListDiff Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr LoopCond MatMul
MatrixBandPart MatrixDiag MatrixDiagV2 MatrixDiagV3 MatrixInverse MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3
Max MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax Maximum Mean Merge Min Minimum MirrorPad Mod Mul MulNoNan Neg
NextIteration NoOp NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4
NonMaxSuppressionV5 NotEqual OneHot OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch PartitionedCall
Placeholder PlaceholderWithDefault Pow PreventGradient Prod QuantizeAndDequantizeV2 QuantizeAndDequantizeV3
QuantizeAndDequantizeV4 QuantizeV2 RFFT RFFT2D RGBToHSV RandomStandardNormal RandomUniform RandomUniformInt
Range Rank ReadVariableOp Real RealDiv Reciprocal Relu Relu6 Reshape ResizeArea ResizeBicubic ResizeBilinear
ResizeNearestNeighbor ResourceGather ResourceGatherNd Reverse ReverseSequence ReverseV2 RightShift Rint Roll
Round Rsqrt ScatterNd SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Select SelectV2 Selu Shape ShapeN
Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToBatchND SpaceToDepth SparseToDense Split
SplitV Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall StatelessCase StatelessIf
StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomNormalV2 StatelessRandomUniformV2
StatelessWhile StopGradient StridedSlice Sub Sum Switch Tan Tanh TensorArrayCloseV3 TensorArrayConcatV3
TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3
TensorArrayWriteV3 TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather
TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListReserve TensorListResize
TensorListSetItem TensorListStack TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub
TensorScatterUpdate Tile TopK TopKV2 Transpose TruncateDiv TruncateMod TruncatedNormal Unique UniqueV2 Unpack
UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum VarHandleOp VarIsInitializedOp
Variable VariableShape VariableV2 Where While Xdivy Xlog1py Xlogy ZerosLike
"""
ALLOWED = frozenset(_NAMES.split())
"""Operators that compute, and those that hold variables, lists and functions."""
_STRINGS = {"StaticRegexFullMatch", "StringJoin"}
_RESTORING = {"RestoreV2", *_STRINGS}
_SAVING = {"SaveV2", "MergeV2Checkpoints", "ShardedFilename", *_STRINGS}
_OTHER_FORMS = ("saved_model.cpb", "saved_model.pbtxt")
MAX_SHOWN = 5


def check_saved_model(folder: Path) -> None:
    """Check every operator of a SavedModel, without loading it.

    Raises:
        ExportError: it cannot be read, or has operators that are not in `ALLOWED`.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    other = next((name for name in _OTHER_FORMS if (folder / name).exists()), None)
    if other:
        raise ExportError(f"{folder} has its graph in {other} as well, which is not checked: remove it")
    try:
        model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    except OSError as error:
        raise ExportError(f"{folder / 'saved_model.pb'} cannot be read: {error.strerror}") from None
    except DecodeError:
        raise ExportError(f"{folder / 'saved_model.pb'} is damaged") from None
    refused = sorted({name for graph in model.meta_graphs for name in refused_operators(graph)})
    if refused:
        rest = f" and {len(refused) - MAX_SHOWN} more" if len(refused) > MAX_SHOWN else ""
        raise ExportError(
            f"{folder} is refused: its operators {', '.join(refused[:MAX_SHOWN])}{rest} are not known to only compute. "
            "Export the network without operators that read files, process text or call Python"
        )


def refused_operators(graph: Any) -> set[str]:
    """Return the names of operators of a MetaGraphDef that are not allowed.

    Some operators are allowed only in certain positions.
    """
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    saver = graph.saver_def
    allowed_in: dict[str, set[str]] = {name: set(ALLOWED) for name in nodes}
    exclusive_functions: dict[str, set[str]] = {}
    everywhere = set(nodes)
    for target, extra in ((saver.save_tensor_name, _SAVING), (saver.restore_op_name, _RESTORING)):
        inside = _ancestors([target], nodes)
        # Operators that other nodes need, or that run when the model is loaded or called, do not belong to the saver
        # alone.
        needed = _ancestors([*(everywhere - inside), *_entry_points(graph)], nodes)
        own = inside - needed
        outside = {name for node in everywhere - own for name in _called(nodes[node])}
        outside |= set(graph.object_graph_def.concrete_functions)
        reached = _called_by([name for node in own for name in _called(nodes[node])], functions)
        others = _called_by([*outside, *(set(functions) - reached)], functions)
        for name in own:
            allowed_in[name] |= extra
        for name in reached - others:
            exclusive_functions.setdefault(name, set(ALLOWED)).update(extra)
    refused = {node.op for node in nodes.values() if node.op not in allowed_in[node.name] and node.op not in functions}
    for name, function in functions.items():
        allowed = exclusive_functions.get(name, ALLOWED)
        refused |= {node.op for node in function.node_def if node.op not in allowed and node.op not in functions}
    return refused | {f"{name} (twice)" for name in _repeated(node.name for node in graph.graph_def.node)}


def _entry_points(graph: Any) -> Iterator[str]:
    """Yield the names of nodes that are run by name.

    These are the nodes of signatures, collections and assets.
    """
    for signature in graph.signature_def.values():
        for tensor in (*signature.inputs.values(), *signature.outputs.values()):
            yield tensor.name
    for collection in graph.collection_def.values():
        yield from collection.node_list.value
    for asset in graph.asset_file_def:
        yield asset.tensor_info.name


def _ancestors(names: Iterable[str], nodes: dict[str, Any]) -> set[str]:
    """Return the nodes on which given tensors or nodes depend.

    The given nodes are included.
    """
    left = [_node_of(name) for name in names]
    found: set[str] = set()
    while left:
        name = left.pop()
        if name in nodes and name not in found:
            found.add(name)
            left.extend(_node_of(entry) for entry in nodes[name].input)
    return found


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]


def _called(node: Any) -> Iterator[str]:
    """Yield the names of functions that a node calls.

    These are the functions in its attributes, and its operator.
    """
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name


def _called_by(names: Iterable[str], functions: dict[str, Any]) -> set[str]:
    """Return a library's functions that can be reached from the given ones.

    The given functions are included.
    """
    left = list(names)
    found: set[str] = set()
    while left:
        name = left.pop()
        if name in functions and name not in found:
            found.add(name)
            left.extend(called for node in functions[name].node_def for called in _called(node))
    return found


def _repeated(names: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    return {name for name in names if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
