"""Gates: what an export must prove before a bundle is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..devices.engines import engines_for
from ..errors import UserError
from ..models.bundle import Bundle
from ..models.decode import anchors_from_manifest
from ..models.manifest import DECODED
from ..runtime.inference.load import load_engine
from .onnx.convert import float_nodes
from .tflite.convert import input_is_raw
from .tflite.reader import FLOAT_DTYPES, POSTPROCESS, Graph, read_tflite

MIN_AGREEMENT = 0.95
"""Share of pictures on which a quantised classifier must name the class that the float one names."""
MIN_MATCHED, MIN_CORRELATION = 0.9, 0.9
"""Share of the float detector's boxes that a quantised one must find again, and correlation of their scores."""
MAX_DIFFERENCE = 0.1
"""What scores of the same box may differ by, on average: half of it moves one in twenty over the threshold."""
RECALL_SHARE = 3.0
"""A class's recall may drop by so many times what accuracy may."""
WIDE_DTYPE = "int16"


@dataclass(frozen=True)
class Gate:
    """One check: its name, what was measured, and whether it passed."""

    name: str
    measured: str
    passed: bool


def int8_gate(variant: str, content: bytes, runtime: str = "tflite", wide: bool = False, ours: bool = True) -> Gate:
    """Check every tensor and operator of a quantised file: none may be float, and raw pixels must go in.

    Args:
        variant: its name, for the table; content: the file; runtime: ``tflite`` or ``onnx``.
        wide: whether 16-bit activations were asked for; if not, they are not let through.
        ours: whether the input's scale must be 1; in other people's files normalisation is often in the scale, and
            bytes go in as they are all the same.
    """
    name = f"really int8: {variant}"
    if runtime == "onnx":
        floats = float_nodes(content)
        told = _listed("float operators", floats) if floats else "every weighted operator takes quantised values (QDQ)"
        return Gate(name, told, not floats)
    file = read_tflite(content)
    graph, allowed = file.graph, _after_decoding(file.graph)
    floats, ops, longer = [], [], []
    for part in file.graphs:  # branches and loops are graphs of their own
        let = allowed if part is graph else set()
        floats += [t.name for number, t in enumerate(part.tensors) if t.dtype in FLOAT_DTYPES and number not in let]
        ops += [
            f"{op.name} -> {part.tensors[op.outputs[0]].name}"
            for op in part.ops
            if op.outputs
            and any(part.tensors[n].dtype in FLOAT_DTYPES and n not in let for n in (*op.inputs, *op.outputs) if n >= 0)
        ]
        longer += [t.name for t in part.tensors if t.dtype == WIDE_DTYPE]
    if floats:
        return Gate(name, f"{_listed('float tensors', floats)}; {_listed('float operators', ops)}", False)
    if longer and not wide:
        return Gate(name, _listed("16-bit tensors", longer), False)
    if ours and not input_is_raw(content):
        return Gate(name, "the input does not take raw levels: it must be uint8 or int8 with scale 1", False)
    each, of = _per_channel(graph)
    told = f"{len(graph.tensors)} tensors, {len(graph.ops)} operators, none float"
    told += f" before {POSTPROCESS}" if allowed else ""
    told += f", {len(longer)} tensors of 16 bits" if longer else ""
    return Gate(name, f"{told}; weights per channel in {each} of {of} convolutions; raw {_entry(graph)} in", True)


def accuracy_gate(task: str, variant: str, before: dict[str, Any], after: dict[str, Any], max_drop: float) -> Gate:
    """Compare a form with float32: accuracy and each class's recall, or mAP@0.5.

    Of a class of twenty pictures one is five points and closes the gate, so pictures are told beside points.

    Args:
        before, after: metrics of float32 and of the form.
        max_drop: points of accuracy, or hundredths of mAP@0.5; three times as many of a recall.
    """
    key = "accuracy" if task == "classify" else "map50"
    name = f"accuracy: {variant}"
    if before.get(key) is None or after.get(key) is None:
        return Gate(name, "there is nothing in the evaluation share to measure it on", False)
    least = max_drop / 100 + 1e-9
    passed = before[key] - after[key] <= least
    if task != "classify":
        told = f"{key} {before[key]:.4f} float32, {after[key]:.4f} here, at most {max_drop / 100:g} less"
        return Gate(name, told, passed)
    right, still, pictures = _correct_by_class(before), _correct_by_class(after), sum(map(sum, before["confusion"]))
    told = (
        f"accuracy {before[key]:.4f} float32 ({sum(right)} of {pictures} pictures), {after[key]:.4f} here "
        f"({sum(still)}), at most {max_drop:g} points less"
    )
    drops = sorted(
        (
            (was - after["recall"][of], place, of)
            for place, (of, was) in enumerate(before["recall"].items())
            if was is not None
        ),
        reverse=True,
    )
    most = f"at most {RECALL_SHARE * max_drop:g} points"
    # All that fell too far; where none did, the one that fell furthest.
    named = [drop for drop in drops if drop[0] > RECALL_SHARE * least]
    lost = [
        f"{of} by {100 * drop:.2f} points ({right[place] - still[place]} of {sum(before['confusion'][place])} pictures)"
        for drop, place, of in named or drops[:1]
        if drop > 0
    ]
    told += f"; recall down: {', '.join(lost)}, {most}" if lost else f"; no class's recall is down, {most}"
    return Gate(name, told, passed and not named)


def parity_gate(task: str, variant: str, measured: dict[str, Any]) -> Gate:
    """Judge the agreement of a form with float32, picture by picture; `measured` is from `measure.agreement`."""
    name = f"parity: {variant}"
    if task == "classify":
        told = (
            f"top-1 agreement {measured['agreement']:.4f}, at least {MIN_AGREEMENT}; probabilities differ by "
            f"{measured['mean_difference']:.4f} on average, {measured['max_difference']:.3f} at most"
        )
        return Gate(name, told, measured["agreement"] >= MIN_AGREEMENT)
    if not measured["boxes"]:
        return Gate(name, "float32 finds nothing in these pictures: there is nothing to compare with", False)
    correlation, apart = measured["score_correlation"], measured["mean_difference"]
    told = f"{measured['matched']:.3f} of {measured['boxes']} boxes found again, at least {MIN_MATCHED}"
    if correlation is not None:
        told += f"; score correlation {correlation:.3f}, at least {MIN_CORRELATION}"
    if measured["matched"]:
        told += (
            f"; scores differ by {measured['mean_difference']:.4f} on average, at most {MAX_DIFFERENCE}; "
            f"{measured['max_difference']:.3f} in one"
        )
    told += f"; {measured['added']:.3f} of its boxes are new, at most {1 - MIN_MATCHED:.1f}"
    alike = (correlation is None or correlation >= MIN_CORRELATION) and (apart is None or apart <= MAX_DIFFERENCE)
    return Gate(name, told, measured["matched"] >= MIN_MATCHED and measured["added"] <= 1 - MIN_MATCHED and alike)


def contract_gate(bundle: Bundle) -> Gate:
    """Check that every form has the input and the outputs that the manifest says, by running it as a device does."""
    width, height = bundle.input_size
    told = []
    for name, variant in bundle.variants.items():
        if not engines_for(variant.runtime):
            told.append(f"{name} not run here")
            continue
        try:
            engine = load_engine(bundle, name)
            raw = engine(bundle.golden()["inputs"][:1])
        except UserError as problem:
            return Gate("contract", str(problem), False)
        for spec in variant.outputs:
            if raw[spec.name].values.shape != spec.shape[1:] or raw[spec.name].values.dtype != spec.dtype:
                return Gate(
                    "contract",
                    f"{name}: {spec.name} came out as {raw[spec.name].values.dtype} "
                    f"{raw[spec.name].values.shape}, not as its manifest says",
                    False,
                )
            if not np.isfinite(raw[spec.name].values).all():
                return Gate("contract", f"{name}: {spec.name} has values that are not finite", False)
        told.append(f"{name} gives {', '.join(raw)}")
    fault = _shape_fault(bundle)
    if fault:
        return Gate("contract", fault, False)
    return Gate("contract", f"{width}x{height} RGB in; {'; '.join(told)}", True)


def _shape_fault(bundle: Bundle) -> str | None:
    """Say where the shapes of a form's outputs do not fit the classes or the anchors of its manifest."""
    width, height = bundle.input_size
    decode = bundle.manifest["decode"]
    for name, variant in bundle.variants.items():
        shapes = {spec.name: spec.shape for spec in variant.outputs}
        if bundle.task == "classify":
            wrong = [shape for shape in shapes.values() if shape != (1, len(bundle.classes))]
            if wrong:
                return f"{name} gives {list(wrong[0])}, and there are {len(bundle.classes)} classes"
        elif "min_level" in decode and DECODED not in shapes:
            count, boxes, scores = (
                len(anchors_from_manifest(decode, width, height)),
                shapes.get("boxes"),
                shapes.get("scores"),
            )
            if boxes != (1, count, 4) or scores is None or scores[:2] != (1, count):
                return (
                    f"{name} gives boxes {boxes} and scores {scores}, and its manifest tells of {count} anchors: "
                    "levels, scales or aspect ratios are not the network's"
                )
        tensors = [spec.tensor for spec in variant.outputs]
        if len(set(tensors)) < len(tensors):
            return f"{name}: two outputs are the same tensor, {', '.join(tensors)}"
    return None


def _correct_by_class(metrics: dict[str, Any]) -> list[int]:
    return [row[place] for place, row in enumerate(metrics["confusion"])]


def _after_decoding(graph: Graph) -> set[int]:
    """Number the tensors that may be float because they belong to the operator that decodes boxes."""
    made = {number: op for op in graph.ops for number in op.outputs}
    allowed: set[int] = set()
    for op in graph.ops:
        if op.name == POSTPROCESS:
            allowed |= set(op.outputs)
            for number in op.inputs:
                if graph.tensors[number].constant is not None or (number in made and made[number].name == "DEQUANTIZE"):
                    allowed.add(number)
    return allowed


def _per_channel(graph: Graph) -> tuple[int, int]:
    weights = [graph.tensors[op.inputs[1]] for op in graph.ops if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    return sum(len(weight.scales) == weight.shape[weight.axis] for weight in weights), len(weights)


def _entry(graph: Graph) -> str:
    return graph.tensors[graph.inputs[0]].dtype


def _listed(kind: str, names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} {kind}: {', '.join(names[:most])}{more}"
