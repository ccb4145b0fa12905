"""Export a run: convert, measure, gate, and write the bundle beside its place before it takes it."""

from __future__ import annotations

import copy
import dataclasses
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..devices.engines import engines_for
from ..models.bundle import Bundle
from ..models.manifest import FORMAT, GOLDEN
from .bundle_writer import (
    check_target,
    golden_vectors,
    pick_evenly,
    publish,
    staging_folder,
    without_none,
    write_bundle,
)
from .calibration_images import load_calibration_images
from .evaluation import FLOAT_VARIANTS, Evaluation, evaluate_bundle, reference_variant
from .examples import draw_examples
from .fallbacks import NO_FALLBACK, QUANTISED_FORMATS, fallbacks
from .gates import WIDE_DTYPE, Gate, accuracy_gate, contract_gate, int8_gate, parity_gate
from .run_reader import read_evaluation, read_run
from .settings import FORMATS, REFERENCE, Settings
from .tflite.edgetpu import compile_for_edgetpu, mappability
from .tflite.layer_errors import layer_errors
from .tflite.reader import read_tflite
from .variants import MAX_DETECTIONS, NMS_IOU, BuiltVariants, Network, build_variants, describe_variants

NAMES = {"classify": "galaxy-classifier", "detect": "galaxy-detector"}
PACKAGES = ("tensorflow", "ai-edge-quantizer", "ai-edge-litert", "tf2onnx", "onnx", "onnxruntime", "numpy")
MAX_LAYERS = 40
"""So many of the worst layers are written into the manifest."""


@dataclass(frozen=True)
class ExportResult:
    """What came of an export.

    Attributes:
        bundle: where it is; None where a gate failed and none was written.
        sizes: bytes of every form, by variant.
        examples: pictures (H, W, 3) uint8 with what was found in them, and captions.
    """

    bundle: Path | None
    gates: list[Gate]
    measured: Evaluation
    manifest: dict[str, Any]
    sizes: dict[str, int]
    examples: list[tuple[np.ndarray, str]]

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)


def export_run(
    run: Path, out: Path | None, say: Callable[[str], None], settings: Settings | None = None
) -> ExportResult:
    """Make a bundle of a finished run.

    Args:
        run: a run folder.
        out: the bundle's folder; by default ``RUN/galaxy-detector`` or ``RUN/galaxy-classifier``.
        say: told what is going on.
        settings: what is wanted; by default float32 and int8 TFLite.

    Returns:
        What came of it. Where a gate failed (and not ``settings.force``), no bundle was written and one that was there
        before is untouched.

    Raises:
        RunError, ExportError: the run is incomplete or cannot be converted.
    """
    settings = settings or Settings()
    record = read_run(run, tuple(NAMES))
    settings.wanted(record["task"])
    name = NAMES[record["task"]]
    target = check_target(out or run / name)
    calibration = load_calibration_images(
        settings.calibration or run / "calibration.npz",
        record["model"],
        record["task"],
        settings.samples,
        settings.seed,
    )
    evaluation = read_evaluation(run / "evaluation.npz", record["task"], record["model"])
    network = Network(run / "saved_model", record["task"], record["model"])
    made = build_variants(network, settings, calibration, say)
    draft = draft_manifest(
        record, name, describe_variants(made.files, record["model"]["outputs"]), settings, len(calibration)
    )
    return validate_and_write(target, draft, made, evaluation, calibration, settings, say)


def validate_and_write(
    target: Path,
    manifest: dict[str, Any],
    made: BuiltVariants,
    evaluation: dict[str, np.ndarray],
    calibration: np.ndarray,
    settings: Settings,
    say: Callable[[str], None],
) -> ExportResult:
    """Put forms to the gates, and write the bundle where all pass or `settings` force it."""
    files = made.files
    with staging_folder(target) as folder:
        gates, measured = _run_gates(folder, manifest, files, evaluation, settings, say)
        if settings.rescue == "auto" and not all(gate.passed for gate in gates):
            files = _apply_fallbacks(folder, manifest, made, gates, evaluation, calibration, settings, say)
            gates, measured = _run_gates(folder, manifest, files, evaluation, settings, say)
        contents = {FORMATS[name].file: content for name, content in files.items()}
        contents[GOLDEN] = (folder / GOLDEN).read_bytes()
        passed = all(gate.passed for gate in gates)
        if not passed:
            manifest["ungated"] = True
        manifest["gates"] = [dataclasses.asdict(gate) for gate in gates]
        _describe_int8(manifest, files, calibration, settings, say)
        write_bundle(folder, manifest, contents)
        shown = draw_examples(Bundle.load(folder, manifest["task"])) if measured.metrics else []
        written = passed or settings.force
        if written:
            publish(folder, target)
    sizes = {FORMATS[name].variant: len(content) for name, content in files.items()}
    return ExportResult(target if written else None, gates, measured, manifest, sizes, shown)


def _apply_fallbacks(
    folder: Path,
    manifest: dict[str, Any],
    made: BuiltVariants,
    gates: list[Gate],
    evaluation: dict[str, np.ndarray],
    calibration: np.ndarray,
    settings: Settings,
    say: Callable[[str], None],
) -> dict[str, bytes]:
    """Make every form that failed in other ways until it passes; what helped goes into the manifest, by variant."""
    files = dict(made.files)
    told: dict[str, str] = {}
    for form in QUANTISED_FORMATS:
        variant = FORMATS[form].variant
        failed = any(not gate.passed for gate in gates if gate.name.endswith(f": {variant}"))
        if not failed or form not in made.sources or REFERENCE not in files:
            continue
        told[variant] = NO_FALLBACK
        for how, content in fallbacks(form, made.sources[form], files[form], settings, calibration, say):
            draft = copy.deepcopy(manifest)
            draft["export"]["rescue"] = {variant: how}
            draft["variants"] = {one: draft["variants"][one] for one in (FORMATS[REFERENCE].variant, variant)}
            tried = {REFERENCE: files[REFERENCE], form: content}
            if all(gate.passed for gate in _run_gates(folder, draft, tried, evaluation, settings, say)[0]):
                files[form], told[variant] = content, how
                break
    if "edgetpu" in files and files["tflite-int8"] != made.files["tflite-int8"]:
        compiled = compile_for_edgetpu(files["tflite-int8"], say)  # of what is kept now
        assert compiled is not None
        files["edgetpu"] = compiled
    if told:
        manifest["export"]["rescue"] = told
    return files


def _run_gates(
    folder: Path,
    manifest: dict[str, Any],
    files: dict[str, bytes],
    evaluation: dict[str, np.ndarray],
    settings: Settings,
    say: Callable[[str], None],
) -> tuple[list[Gate], Evaluation]:
    """Write a draft, run it, and judge it; golden vectors, metrics and the threshold go into the draft."""
    contents = {FORMATS[name].file: content for name, content in files.items()}
    write_bundle(folder, manifest, contents)
    draft = Bundle.load(folder, manifest["task"])
    say("making golden vectors")
    contents[GOLDEN] = golden_vectors(draft, pick_evenly(evaluation["images"]))
    write_bundle(folder, manifest, contents)
    draft = Bundle.load(folder, manifest["task"])
    wide = {one for one, how in manifest["export"].get("rescue", {}).items() if how.startswith(WIDE_DTYPE)}
    gates = [
        int8_gate(
            FORMATS[name].variant,
            content,
            FORMATS[name].runtime,
            FORMATS[name].variant in wide,
            "from" not in manifest["export"],
        )
        for name, content in files.items()
        if FORMATS[name].variant not in FLOAT_VARIANTS and FORMATS[name].runtime != "edgetpu"
    ]
    agreed = contract_gate(draft)
    gates.append(agreed)
    if not agreed.passed:
        return gates, Evaluation({})
    say("measuring every variant on the run's evaluation share")
    measured = evaluate_bundle(draft, evaluation)
    first = reference_variant([name for name, variant in draft.variants.items() if engines_for(variant.runtime)])
    if "from" in manifest["export"]:
        gates.append(Gate(f"accuracy: {first}", "as it was given: nothing was converted", True))
    before = measured.metrics.get(first, {})
    for variant, alike in measured.agreement.items():
        after = measured.metrics.get(variant, {})
        gates.append(accuracy_gate(manifest["task"], variant, before, after, settings.max_drop))
        gates.append(parity_gate(manifest["task"], variant, alike))
    if measured.threshold is not None:
        manifest["decode"]["score_threshold"] = round(float(measured.threshold), 4)
    manifest["metrics"] = without_none(
        {
            name: values | ({"parity": measured.agreement[name]} if name in measured.agreement else {})
            for name, values in measured.metrics.items()
        }
    )
    return gates, measured


def _describe_int8(
    manifest: dict[str, Any],
    files: dict[str, bytes],
    calibration: np.ndarray,
    settings: Settings,
    say: Callable[[str], None],
) -> None:
    """Note what is known of int8 beside its metrics: its layers' errors, and what an Edge TPU would run of it."""
    if "tflite-int8" not in files:
        return
    manifest["export"]["edgetpu"] = mappability(read_tflite(files["tflite-int8"]).graph).summary()
    if settings.debug_layers and REFERENCE in files:
        say("measuring every layer")
        errors = layer_errors(files[REFERENCE], files["tflite-int8"], pick_evenly(calibration, 16))
        manifest["export"]["layers"] = [dataclasses.asdict(error) for error in errors[:MAX_LAYERS]]


def draft_manifest(
    record: dict[str, Any], name: str, variants: dict[str, Any], settings: Settings, pictures: int
) -> dict[str, Any]:
    """Draft the manifest from the run's record; thresholds and metrics are filled in once measured."""
    model = record["model"]
    decode = dict(model["decode"])
    if record["task"] == "detect":
        decode |= {"score_threshold": 0.5, "nms_iou": NMS_IOU, "max_detections": MAX_DETECTIONS}
    return {
        "format": FORMAT,
        "name": name,
        "task": record["task"],
        "version": __version__,
        "created": record["finished"],
        "licence": "Apache-2.0",
        "classes": model["classes"],
        "input": {**model["input"], "dtype": "uint8", "colour": "RGB"},
        "preprocess": model["preprocess"],
        "decode": decode,
        "network": {"parameters": int(model["parameters"]), "macs": int(model["macs"])},
        "training": without_none(record["settings"]),
        "data": {key: record["data"][key] for key in ("hash", "sets", "split", "sources")},
        "export": export_record(settings, pictures),
        "gates": [],
        "metrics": {},
        "variants": variants,
        "files": {},
    }


def export_record(settings: Settings, pictures: int) -> dict[str, Any]:
    """Note how an export was made; the calibration's path is not noted, where it came from is."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "method": settings.tflite_method,
        "onnx_method": settings.onnx_method,
        "max_drop": settings.max_drop,
        "seed": settings.seed,
        "calibration": {"pictures": pictures, "source": "given" if settings.calibration else "the run's own"},
        "versions": versions,
    }
