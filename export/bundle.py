"""Export a run: convert it, run the gates, write to a staging folder, publish."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..models.bundle import Bundle
from ..models.manifest import FORMAT, GOLDEN, Gate, Manifest, Variant
from ..training.run import RunRecord
from .bundle_writer import (
    check_target,
    draft_of,
    golden_vectors,
    publish,
    staging_folder,
    without_none,
    write_bundle,
)
from .calibration_images import load_calibration_images, pick_evenly
from .evaluation import FLOAT_VARIANTS, Evaluation, evaluate_bundle, reference_variant, runnable_variants
from .examples import Examples, draw_examples
from .fallbacks import NO_FALLBACK, QUANTISED_FORMATS, fallbacks
from .gates import WIDE_DTYPE, accuracy_gate, contract_gate, int8_gate, parity_gate
from .run_reader import read_evaluation, read_run
from .settings import FORMATS, REFERENCE, Settings
from .tflite.edgetpu import compile_for_edgetpu, mappability
from .tflite.layer_errors import layer_errors
from .tflite.reader import read_tflite
from .variants import MAX_DETECTIONS, NMS_IOU, BuiltVariants, Network, build_variants, describe_variants

NAMES = {"classify": "galaxy-classifier", "detect": "galaxy-detector"}
PACKAGES = ("tensorflow", "ai-edge-quantizer", "ai-edge-litert", "tf2onnx", "onnx", "onnxruntime", "numpy")
MAX_LAYERS = 40
"""Maximum number of layers with the largest errors that are written into the manifest."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportResult:
    """The result of an export.

    Attributes:
        bundle: its folder; None if a gate failed and it was not written.
        sizes: bytes of the file of each variant.
        examples: images (H, W, 3) uint8 with truth and results.
    """

    bundle: Path | None
    gates: list[Gate]
    evaluation: Evaluation
    manifest: Manifest
    sizes: dict[str, int]
    examples: Examples

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)


def export_run(run: Path, out: Path | None, settings: Settings | None = None) -> ExportResult:
    """Make a bundle of a finished run.

    Args:
        run: the run folder.
        out: the bundle's folder; default: ``RUN/galaxy-detector`` or ``RUN/galaxy-classifier``.
        settings: default: float32 and int8 TFLite.

    Returns:
        The result. If a gate failed (and not ``settings.force``), no bundle was written and an existing one is
        unchanged.

    Raises:
        RunError, ExportError: the run is incomplete or cannot be converted.
    """
    settings = settings or Settings()
    record = read_run(run, tuple(NAMES))
    task, model = record.task, record.model
    settings.wanted(task)
    name = NAMES[task]
    target = check_target(out or run / name)
    source = settings.calibration or run / "calibration.npz"
    calibration = load_calibration_images(source, model, task, settings.samples, settings.seed)
    evaluation = read_evaluation(run / "evaluation.npz", task, model)
    built = build_variants(Network(run / "saved_model", task, model), settings, calibration)
    variants = describe_variants(built.files, model["outputs"])
    manifest = draft_manifest(record, name, variants, settings, len(calibration))
    return validate_and_write(target, manifest, built, evaluation, calibration, settings)


def validate_and_write(
    target: Path,
    manifest: Manifest,
    built: BuiltVariants,
    evaluation: dict[str, np.ndarray],
    calibration: np.ndarray,
    settings: Settings,
) -> ExportResult:
    """Run all variants' gates; write the bundle if all pass or `settings` force it."""
    files = built.files
    with staging_folder(target) as folder:
        draft = _run_gates(folder, manifest, files, evaluation, settings)
        if settings.fallback == "auto" and not draft.passed:
            files, chosen = _apply_fallbacks(folder, draft, built, evaluation, calibration, settings)
            draft = _run_gates(folder, _with_fallbacks(draft.manifest, chosen), files, evaluation, settings)
        contents = {FORMATS[name].file: content for name, content in files.items()}
        contents[GOLDEN] = (folder / GOLDEN).read_bytes()
        export = {**draft.manifest.export, **_describe_int8(files, calibration, settings)}
        manifest = draft.manifest._replace(gates=tuple(draft.gates), export=export, ungated=not draft.passed)
        manifest = write_bundle(folder, manifest, contents)
        examples = draw_examples(Bundle.load(folder, manifest.task), evaluation) if draft.evaluation.metrics else []
        written = draft.passed or settings.force
        if written:
            publish(folder, target)
    sizes = {FORMATS[name].variant: len(content) for name, content in files.items()}
    return ExportResult(target if written else None, draft.gates, draft.evaluation, manifest, sizes, examples)


@dataclass(frozen=True)
class _Draft:
    """A draft that was run: gates, evaluation, manifest with metrics and threshold."""

    gates: list[Gate]
    evaluation: Evaluation
    manifest: Manifest

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)


def _apply_fallbacks(
    folder: Path,
    draft: _Draft,
    built: BuiltVariants,
    evaluation: dict[str, np.ndarray],
    calibration: np.ndarray,
    settings: Settings,
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Replace each failed variant by its first alternative that passes.

    Returns:
        The files, and what was chosen for each variant that failed, in words.
    """
    files = dict(built.files)
    chosen: dict[str, str] = {}
    for name in QUANTISED_FORMATS:
        variant = FORMATS[name].variant
        failed = any(not gate.passed for gate in draft.gates if gate.name.endswith(f": {variant}"))
        if not failed or name not in built.sources or REFERENCE not in files:
            continue
        chosen[variant] = NO_FALLBACK
        variants = {key: draft.manifest.variants[key] for key in (FORMATS[REFERENCE].variant, variant)}
        alternatives = fallbacks(name, built.sources[name], files[name], settings, calibration, built.convert)
        for description, content in alternatives:
            manifest = _with_fallbacks(draft.manifest, {variant: description})._replace(variants=variants)
            candidates = {REFERENCE: files[REFERENCE], name: content}
            if _run_gates(folder, manifest, candidates, evaluation, settings).passed:
                files[name], chosen[variant] = content, description
                break
    if "edgetpu" in files and files["tflite-int8"] != built.files["tflite-int8"]:
        compiled = compile_for_edgetpu(files["tflite-int8"])
        assert compiled is not None
        files["edgetpu"] = compiled
    return files, chosen


def _with_fallbacks(manifest: Manifest, chosen: dict[str, str]) -> Manifest:
    """Return a manifest that records what replaced failed variants."""
    return manifest._replace(export={**manifest.export, "rescue": chosen}) if chosen else manifest


def _run_gates(
    folder: Path,
    manifest: Manifest,
    files: dict[str, bytes],
    evaluation: dict[str, np.ndarray],
    settings: Settings,
) -> _Draft:
    """Write a draft bundle with golden vectors, run it and check it."""
    contents = {FORMATS[name].file: content for name, content in files.items()}
    write_bundle(folder, manifest, contents)
    bundle = Bundle.load(folder, manifest.task)
    logger.info("making golden vectors")
    contents[GOLDEN] = golden_vectors(bundle)
    write_bundle(folder, manifest, contents)
    bundle = Bundle.load(folder, manifest.task)
    gates = _int8_gates(manifest, files)
    contract = contract_gate(bundle)
    gates.append(contract)
    if not contract.passed:
        return _Draft(gates, Evaluation({}), manifest)
    logger.info("measuring every variant on the run's evaluation share")
    measured = evaluate_bundle(bundle, evaluation, settings.min_precision)
    reference = reference_variant(runnable_variants(bundle))
    if "from" in manifest.export:
        gates.append(Gate(f"accuracy: {reference}", "the given file, unchanged: nothing was converted", True))
    before = measured.metrics.get(reference)
    for variant, agreement in measured.agreement.items():
        gates.append(
            accuracy_gate(
                variant, before, measured.metrics.get(variant), settings.max_drop, measured.changes.get(variant)
            )
        )
        gates.append(parity_gate(variant, agreement))
    if measured.threshold is not None:
        threshold = round(float(measured.threshold), 4)
        manifest = manifest._replace(decode=manifest.detector_decode._replace(score_threshold=threshold))
    metrics = measured.metric_tables()
    for name in metrics.keys() & measured.agreement.keys():
        metrics[name]["parity"] = measured.agreement[name].to_dict()
    return _Draft(gates, measured, manifest._replace(metrics=without_none(metrics)))


def _int8_gates(manifest: Manifest, files: dict[str, bytes]) -> list[Gate]:
    """Check each quantised file; 16-bit activations pass only after a fallback."""
    gates = []
    for name, content in files.items():
        variant = FORMATS[name]
        if variant.variant in FLOAT_VARIANTS or variant.runtime == "edgetpu":
            continue
        wide = manifest.fallbacks.get(variant.variant, "").startswith(WIDE_DTYPE)
        gates.append(int8_gate(variant.variant, content, variant.runtime, wide, "from" not in manifest.export))
    return gates


def _describe_int8(files: dict[str, bytes], calibration: np.ndarray, settings: Settings) -> dict[str, Any]:
    """Return the Edge TPU's mapping of int8 and its layers' errors, for ``export``."""
    if "tflite-int8" not in files:
        return {}
    found: dict[str, Any] = {"edgetpu": mappability(read_tflite(files["tflite-int8"]).graph).summary()}
    if settings.debug_layers and REFERENCE in files:
        logger.info("measuring every layer")
        errors = layer_errors(files[REFERENCE], files["tflite-int8"], pick_evenly(calibration, 16))
        found["layers"] = [dataclasses.asdict(error) for error in errors[:MAX_LAYERS]]
    return found


def draft_manifest(
    record: RunRecord, name: str, variants: dict[str, Variant], settings: Settings, calibration_images: int
) -> Manifest:
    """Return a run's manifest; gates, threshold and metrics are added later.

    Raises:
        BundleError: a value of the record is missing or invalid.
    """
    model = record.model
    decode = dict(model["decode"])
    if record.task == "detect":
        decode |= {"score_threshold": 0.5, "nms_iou": NMS_IOU, "max_detections": MAX_DETECTIONS}
    return draft_of(
        {
            "format": FORMAT,
            "name": name,
            "task": record.task,
            "version": __version__,
            "created": record.finished,
            "licence": "Apache-2.0",
            "classes": model["classes"],
            "input": {**model["input"], "dtype": "uint8", "colour": "RGB"},
            "preprocess": model["preprocess"],
            "decode": decode,
            "network": {"parameters": int(model["parameters"]), "macs": int(model["macs"])},
            "training": record.settings,
            "data": {key: record.data[key] for key in ("hash", "sets", "split", "sources")},
            "export": export_record(settings, calibration_images),
            "gates": [],
            "metrics": {},
            "variants": {key: variant.to_dict() for key, variant in variants.items()},
        }
    )


def export_record(settings: Settings, calibration_images: int) -> dict[str, Any]:
    """Return the table ``export``, without the path of the calibration images."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    source = "given" if settings.calibration else "the run's own"
    return {
        "method": settings.tflite_method,
        "onnx_method": settings.onnx_method,
        "max_drop": settings.max_drop,
        "min_precision": settings.min_precision,
        "seed": settings.seed,
        "calibration": {"pictures": calibration_images, "source": source},
        "versions": versions,
    }
