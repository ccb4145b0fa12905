"""Gates: the checks that every variant must pass before a bundle is written."""

from __future__ import annotations

import numpy as np

from ..devices.engines import engines_for
from ..errors import UserError
from ..models.bundle import Bundle
from ..models.decode import anchors_from_manifest
from ..models.manifest import DECODED, Gate
from ..models.metrics import ClassificationMetrics, DetectionMetrics
from ..runtime.inference.load import load_engine
from .chance import CHANCE, PairedCounts, share_test, sign_test
from .evaluation import Agreement, Change, ClassifierAgreement, Metrics
from .onnx.convert import float_nodes
from .tflite.convert import input_is_raw
from .tflite.reader import FLOAT_DTYPES, POSTPROCESS, Graph, read_tflite

MIN_AGREEMENT = 0.95
"""Minimum share of images to which a quantised classifier gives the same class as the float one."""
MIN_MATCHED, MIN_CORRELATION = 0.9, 0.9
"""Minimum share of the float detector's boxes that a quantised one must find, and correlation of their scores."""
MAX_DIFFERENCE = 0.1
"""Maximum mean difference of a box's two scores; half of it moves one box in twenty across the threshold."""
RECALL_SHARE = 3.0
"""Maximum drop of a class's recall as a multiple of the allowed drop of accuracy."""
WIDE_DTYPE = "int16"
UNLABELLED = "the evaluation share has no labelled images"
NOTHING_FOUND = "float32 finds nothing in these images: there is nothing to compare with"


def int8_gate(variant: str, content: bytes, runtime: str = "tflite", wide: bool = False, ours: bool = True) -> Gate:
    """Check that a quantised file has no floats and that it takes raw levels.

    No tensor and no operator may be float.

    Args:
        variant: its name, for the report; content: the file; runtime: ``tflite`` or ``onnx``.
        wide: whether 16-bit activations are allowed.
        ours: whether the input's scale must be 1. Third-party files often have their normalisation in the scale; they
            take the same raw levels.
    """
    name = f"really int8: {variant}"
    if runtime == "onnx":
        floats = float_nodes(content)
        ok = "every weighted operator takes quantised values (QDQ)"
        return Gate(name, _listed("float operators", floats) if floats else ok, not floats)
    file = read_tflite(content)
    graph, allowed = file.graph, _after_decoding(file.graph)
    floats, ops, sixteen_bit = [], [], []
    for part in file.graphs:  # branches and loops have their own graphs
        exempt = allowed if part is graph else set()
        floating = {i for i, t in enumerate(part.tensors) if t.dtype in FLOAT_DTYPES and i not in exempt}
        floats += [part.tensors[index].name for index in sorted(floating)]
        ops += [
            f"{op.name} -> {part.tensors[op.outputs[0]].name}"
            for op in part.ops
            if op.outputs and not floating.isdisjoint((*op.inputs, *op.outputs))
        ]
        sixteen_bit += [t.name for t in part.tensors if t.dtype == WIDE_DTYPE]
    if floats:
        return Gate(name, f"{_listed('float tensors', floats)}; {_listed('float operators', ops)}", False)
    if sixteen_bit and not wide:
        return Gate(name, _listed("16-bit tensors", sixteen_bit), False)
    if ours and not input_is_raw(content):
        return Gate(name, "the input does not take raw levels: it must be uint8 or int8 with scale 1", False)
    per_channel, convolutions = _per_channel(graph)
    measured = f"{len(graph.tensors)} tensors, {len(graph.ops)} operators, none float"
    measured += f" before {POSTPROCESS}" if allowed else ""
    measured += f", {len(sixteen_bit)} tensors of 16 bits" if sixteen_bit else ""
    measured += f"; weights per channel in {per_channel} of {convolutions} convolutions"
    return Gate(name, f"{measured}; raw {graph.tensors[graph.inputs[0]].dtype} input", True)


def accuracy_gate(
    variant: str, before: Metrics | None, after: Metrics | None, max_drop: float, change: Change = None
) -> Gate:
    """Compare a variant's metrics with those of float32.

    These are accuracy and the recall of each class, or mAP@0.5. A drop fails if it exceeds what is allowed and is more
    than chance: quantisation corrects some images and breaks others, and one image of a class of twenty is five points.

    Args:
        variant: its name.
        before, after: metrics of float32 and of the variant; None without labelled images.
        max_drop: points of accuracy, or hundredths of mAP@0.5; a recall may drop by three times as many points.
        change: what the variant lost and gained; None: every net loss counts as lost without a gain, and every drop of
            mAP@0.5 as more than chance, which is the strictest reading.
    """
    name = f"accuracy: {variant}"
    if isinstance(before, ClassificationMetrics) and isinstance(after, ClassificationMetrics):
        return _classifier_gate(name, before, after, max_drop, change if isinstance(change, PairedCounts) else None)
    first, second = (metrics.map50 if isinstance(metrics, DetectionMetrics) else None for metrics in (before, after))
    if first is None or second is None:
        return Gate(name, UNLABELLED, False)
    measured = f"map50 {first:.4f} float32, {second:.4f} here, at most {max_drop / 100:g} less"
    excess = first - second - max_drop / 100
    if excess <= 1e-9:
        return Gate(name, measured, True)
    chance = change if isinstance(change, float) else 0.0
    return Gate(name, f"{measured}: {excess:.4f} too much{_chance_text(chance)}", chance >= CHANCE)


def _chance_text(probability: float) -> str:
    return ", within chance" if probability >= CHANCE else ", more than chance"


def _classifier_gate(
    name: str, before: ClassificationMetrics, after: ClassificationMetrics, max_drop: float, change: PairedCounts | None
) -> Gate:
    if before.accuracy is None or after.accuracy is None:
        return Gate(name, UNLABELLED, False)
    correct_before, correct_after = _correct_by_class(before), _correct_by_class(after)
    if change is None:
        net = [earlier - later for earlier, later in zip(correct_before, correct_after, strict=True)]
        change = PairedCounts(tuple(max(0, lost) for lost in net), tuple(max(0, -lost) for lost in net))
    recalls, worst_failed = _recall_drops(before, after, max_drop, change)
    count = sum(map(sum, before.confusion))
    measured = (
        f"accuracy {before.accuracy:.4f} float32 ({sum(correct_before)} of {count} images), {after.accuracy:.4f} here "
        f"({sum(correct_after)}), at most {max_drop:g} points less"
    )
    excess, chance = before.accuracy - after.accuracy - max_drop / 100, 1.0
    if excess > 1e-9:
        chance = sign_test(sum(change.lost), sum(change.gained))
        measured += f": {100 * excess:.2f} points too much{_chance_text(chance)}"
    return Gate(name, f"{measured}; {recalls}", chance >= CHANCE and not worst_failed)


def _recall_drops(
    before: ClassificationMetrics, after: ClassificationMetrics, max_drop: float, change: PairedCounts
) -> tuple[str, bool]:
    """Describe the recalls that dropped too far, or else the one that dropped most.

    Return whether any did.
    """
    drops = sorted(
        (
            (recall - (after.recall[label] or 0.0), index, label)
            for index, (label, recall) in enumerate(before.recall.items())
            if recall is not None
        ),
        reverse=True,
    )
    limit = f"at most {RECALL_SHARE * max_drop:g} points"
    beyond = [drop for drop in drops if drop[0] > RECALL_SHARE * (max_drop / 100 + 1e-9)]
    failed = [drop for drop in beyond if sign_test(change.lost[drop[1]], change.gained[drop[1]]) < CHANCE]
    texts = []
    for drop, index, label in failed or beyond or drops[:1]:
        if drop > 0:
            images = f"{change.lost[index] - change.gained[index]} of {sum(before.confusion[index])} images"
            excess = f", {100 * drop - RECALL_SHARE * max_drop:.2f} too much" if beyond else ""
            chance = "" if not beyond else ", more than chance" if failed else ", within chance"
            texts.append(f"{label} by {100 * drop:.2f} points ({images}{excess}{chance})")
    if not texts:
        return f"no class's recall is down, {limit}", bool(failed)
    return f"recall down: {', '.join(texts)}, {limit}", bool(failed)


def parity_gate(variant: str, agreement: Agreement) -> Gate:
    """Check how a variant agrees with float32, image by image.

    A share fails if it misses its minimum by more than chance, which matters for a few dozen images or boxes.
    """
    name = f"parity: {variant}"
    if isinstance(agreement, ClassifierAgreement):
        chance = _share_chance(1 - agreement.agreement, agreement.images, 1 - MIN_AGREEMENT)
        missed = "" if chance == 1.0 else f" ({MIN_AGREEMENT - agreement.agreement:.4f} too few{_chance_text(chance)})"
        measured = (
            f"top-1 agreement {agreement.agreement:.4f}, at least {MIN_AGREEMENT}{missed}; probabilities differ by "
            f"{agreement.mean_difference:.4f} on average, {agreement.max_difference:.3f} at most"
        )
        return Gate(name, measured, chance >= CHANCE)
    if agreement.matched is None:
        return Gate(name, NOTHING_FOUND, False)
    correlation, difference = agreement.score_correlation, agreement.mean_difference
    found = _share_chance(1 - agreement.matched, agreement.boxes, 1 - MIN_MATCHED)
    added = _share_chance(agreement.added, agreement.other_boxes, 1 - MIN_MATCHED)
    measured = f"{agreement.matched:.3f} of {agreement.boxes} boxes found by both, at least {MIN_MATCHED}"
    measured += _chance_text(found) if found < 1.0 else ""
    if correlation is not None:
        measured += f"; score correlation {correlation:.3f}, at least {MIN_CORRELATION}"
    if agreement.matched:
        measured += (
            f"; scores differ by {difference:.4f} on average, at most {MAX_DIFFERENCE}; "
            f"maximum {agreement.max_difference:.3f}"
        )
    measured += f"; {agreement.added:.3f} of its boxes are new, at most {1 - MIN_MATCHED:.1f}"
    measured += _chance_text(added) if added < 1.0 else ""
    passed = (
        min(found, added) >= CHANCE
        and (correlation is None or correlation >= MIN_CORRELATION)
        and (difference is None or difference <= MAX_DIFFERENCE)
    )
    return Gate(name, measured, passed)


def _share_chance(share: float, total: int, allowed: float) -> float:
    """Return the probability of a share this large, if `allowed` is the true one."""
    return 1.0 if share <= allowed + 1e-9 else share_test(round(share * total), total, allowed)


def contract_gate(bundle: Bundle) -> Gate:
    """Run every variant as a device does.

    Check that its input and outputs are those of the manifest.
    """
    width, height = bundle.input_size
    results = []
    for name, variant in bundle.variants.items():
        if not engines_for(variant.runtime):
            results.append(f"{name} not run here")
            continue
        try:
            engine = load_engine(bundle, name)
            raw = engine(bundle.golden()["inputs"][:1])
        except UserError as error:
            return Gate("contract", str(error), False)
        for spec in variant.outputs:
            values = raw[spec.name].values
            if values.shape != spec.shape[1:] or values.dtype != spec.dtype:
                return Gate(
                    "contract",
                    f"{name}: {spec.name} is {values.dtype} {values.shape}, which differs from the manifest",
                    False,
                )
            if not np.isfinite(values).all():
                return Gate("contract", f"{name}: {spec.name} has values that are not finite", False)
        results.append(f"{name} gives {', '.join(raw)}")
    fault = _shape_fault(bundle)
    if fault:
        return Gate("contract", fault, False)
    return Gate("contract", f"{width}x{height} RGB in; {'; '.join(results)}", True)


def _shape_fault(bundle: Bundle) -> str | None:
    """Return how a variant's output shapes contradict the manifest, or None.

    They must fit the manifest's classes or anchors.
    """
    width, height = bundle.input_size
    anchors = bundle.manifest.detector_decode.anchors if bundle.task == "detect" else None
    for name, variant in bundle.variants.items():
        shapes = {spec.name: spec.shape for spec in variant.outputs}
        if bundle.task == "classify":
            wrong = [shape for shape in shapes.values() if shape != (1, len(bundle.classes))]
            if wrong:
                return f"{name} gives {list(wrong[0])}, and there are {len(bundle.classes)} classes"
        elif anchors is not None and DECODED not in shapes:
            count, boxes, scores = (
                len(anchors_from_manifest(anchors, width, height)),
                shapes.get("boxes"),
                shapes.get("scores"),
            )
            if boxes != (1, count, 4) or scores is None or scores[:2] != (1, count):
                return (
                    f"{name} gives boxes {boxes} and scores {scores}, and its manifest has {count} anchors: "
                    "levels, scales or aspect ratios are not the network's"
                )
        tensors = [spec.tensor for spec in variant.outputs]
        if len(set(tensors)) < len(tensors):
            return f"{name}: two outputs are the same tensor, {', '.join(tensors)}"
    return None


def _correct_by_class(metrics: ClassificationMetrics) -> list[int]:
    return [row[index] for index, row in enumerate(metrics.confusion)]


def _after_decoding(graph: Graph) -> set[int]:
    """Return the indices of tensors that may be float for decoding boxes.

    They belong to the operator that decodes boxes.
    """
    producers = {index: op for op in graph.ops for index in op.outputs}
    allowed: set[int] = set()
    for op in graph.ops:
        if op.name == POSTPROCESS:
            allowed |= set(op.outputs)
            for index in op.inputs:
                dequantised = index in producers and producers[index].name == "DEQUANTIZE"
                if graph.tensors[index].constant is not None or dequantised:
                    allowed.add(index)
    return allowed


def _per_channel(graph: Graph) -> tuple[int, int]:
    weights = [graph.tensors[op.inputs[1]] for op in graph.ops if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    return sum(len(weight.scales) == weight.shape[weight.axis] for weight in weights), len(weights)


def _listed(kind: str, names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{len(names)} {kind}: {', '.join(names[:limit])}{more}"
