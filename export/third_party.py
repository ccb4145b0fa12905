"""Wrap a detector that someone else trained: a TFLite or ONNX file, or a SavedModel, into a bundle of ours.

The file is read by our own reader, then loaded for the first time in a process of its own, before anything else is
done with it. Raw levels 0..255 go in: a float network must have its normalisation inside. What it puts out is told by
the operator that makes it, or by the names of its outputs; never by shape. Its own form is kept byte by byte; other
forms are made of it where they are asked for, and must pass the same gates.
"""

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..models.bundle import UNPACK_ERRORS
from ..models.manifest import FORMAT, BundleError, find_decode_fault
from ..models.preprocess import letterbox
from ..runtime.inference.detector import POSTPROCESSED
from ..runtime.inference.sandbox import check_model_loads
from ..runtime.sources.demo import DemoSource
from .bundle import ExportResult, export_record, validate_and_write
from .bundle_writer import check_target
from .calibration_images import load_calibration_images
from .errors import ExportError, ExportUsage
from .onnx.convert import quantise_onnx, tflite_to_onnx
from .run_reader import read_evaluation
from .settings import ALL, FORMATS, REFERENCE, Settings
from .tflite.convert import convert_saved_model
from .tflite.reader import FLOAT_DTYPES, POSTPROCESS, TFLiteFile, read_tflite
from .third_party_outputs import check_self_contained, describe_outputs_by_name, find_outputs, onnx_interface
from .variants import MAX_DETECTIONS, NMS_IOU, BuiltVariants, quantise_to_int8

MAX_IMAGES = 32
THRESHOLD = 0.5
MAX_LABELS_BYTES = 2**20
"""Bytes that a list of names inside a file may have."""


def import_model(
    path: Path,
    out: Path,
    say: Callable[[str], None],
    settings: Settings,
    task: str | None = None,
    labels: Path | None = None,
    decode: Path | None = None,
    evaluation: Path | None = None,
    licence: str | None = None,
    name: str | None = None,
    sources: Sequence[str] = (),
) -> ExportResult:
    """Wrap a foreign detector.

    Args:
        path: .tflite, .onnx, or the folder of a SavedModel.
        out: the bundle's folder; settings: formats to make beside the one given, calibration and so on.
        task: ``detector``; labels: class names, one a line; without it those in the TFLite metadata are taken.
        decode: TOML with the anchors (keys of a manifest's ``[decode]``, at its top or in such a table), for a network
            without post-processing; and a table ``[outputs]`` with the names of ``boxes`` and ``scores`` in it.
        evaluation: .npz with labelled network inputs, as a training writes it.
        licence, sources: the network's licence, and where the data are from that it was trained on.

    Raises:
        ExportError: the file is none, is not safe to load, or cannot be wrapped.
    """
    if task != "detector":
        raise ExportUsage("--from wraps detectors: say --task detector")
    out = check_target(out)
    files = _read_model(path, say)
    content = next(iter(files.values()))
    form = next(iter(files))
    width, height = _input_size(form, content)
    described = _read_decode(decode)
    classes = _class_names(labels, content, form)
    outputs = find_outputs(form, content, described["outputs"])
    decoded = POSTPROCESSED[0] in outputs
    if not decoded and "min_level" not in described["decode"]:
        raise ExportUsage(
            f"{path} has no {POSTPROCESS}: its anchors are needed. Give --decode a TOML file with min_level, "
            "max_level, anchor_size, scales_per_octave, aspect_ratios, box_weights, e.g. another bundle's bundle.toml"
        )
    model: dict[str, Any] = {
        "input": {"width": width, "height": height},
        "preprocess": {"kind": "letterbox", "fill": 0},
    }
    defaults: dict[str, Any] = {"score_threshold": THRESHOLD, "nms_iou": NMS_IOU, "max_detections": MAX_DETECTIONS}
    settled = defaults | ({} if decoded else described["decode"])
    fault = None if decoded else find_decode_fault(settled)
    if fault:
        raise ExportUsage(f"{decode}: {fault}")
    pictures = _calibration_images(settings, model)
    made = _build_variants(files, settings, pictures, say)
    manifest = {
        "format": FORMAT,
        "name": name or "galaxy-detector",
        "task": "detect",
        "version": __version__,
        "created": "unknown",
        "licence": licence or "unknown",
        "classes": classes,
        "input": {**model["input"], "dtype": "uint8", "colour": "RGB"},
        "preprocess": model["preprocess"],
        "decode": settled,
        "network": {"parameters": 0, "macs": 0},
        "training": {},
        "data": {"hash": "", "sets": {}, "split": {}, "sources": list(sources)},
        "export": export_record(settings, len(pictures))
        | {"from": {"file": path.name, "sha256": hashlib.sha256(content).hexdigest()}},
        "gates": [],
        "metrics": {},
        "files": {},
        "variants": {
            FORMATS[one].variant: {
                "file": FORMATS[one].file,
                "runtime": FORMATS[one].runtime,
                "outputs": describe_outputs_by_name(one, held, outputs, described["outputs"]),
            }
            for one, held in made.files.items()
        },
    }
    data = {"images": pictures[:MAX_IMAGES]}
    if evaluation:
        data = read_evaluation(evaluation, "detect", model, labelled=False)
    return validate_and_write(out, manifest, made, data, pictures, settings, say)


def _read_model(path: Path, say: Callable[[str], None]) -> dict[str, bytes]:
    """Read a file, see that it can be loaded without harm, and tell which form it is."""
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise ExportError(f"{path} is no SavedModel: it has no saved_model.pb")
        say("converting the SavedModel to float32")
        content = convert_saved_model(path, custom=True)
        runtime = "tflite"
    else:
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise ExportError(f"{path} cannot be read: {problem.strerror}") from None
        runtime = "onnx" if path.suffix.lower() == ".onnx" else "tflite"
    if runtime == "tflite":
        file = read_tflite(content, str(path))
    else:
        check_self_contained(content, str(path))
    say("loading it for the first time, in a process of its own")
    try:
        check_model_loads(content, runtime, str(path))
    except BundleError as problem:
        raise ExportError(str(problem)) from None
    if runtime == "onnx":
        return {"onnx-int8" if onnx_interface(content).quantised else "onnx-fp32": content}
    graph = file.graph
    return {REFERENCE if graph.tensors[graph.inputs[0]].dtype in FLOAT_DTYPES else "tflite-int8": content}


def _input_size(form: str, content: bytes) -> tuple[int, int]:
    if FORMATS[form].runtime == "onnx":
        shapes = onnx_interface(content).inputs
    else:
        graph = read_tflite(content).graph
        shapes = [graph.tensors[number].shape for number in graph.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][0] != 1 or shapes[0][3] != 3:
        raise ExportError(f"the network takes {[list(shape) for shape in shapes]}, not one picture [1, H, W, 3]")
    return shapes[0][2], shapes[0][1]


def _read_decode(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {"decode": {}, "outputs": {}}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ExportUsage(f"{path} cannot be read: {problem}") from None
    keys = table.get("decode", {key: value for key, value in table.items() if key != "outputs"})
    outputs = table.get("outputs", {})
    if not isinstance(keys, dict):
        raise ExportUsage(f"{path}: 'decode' must be a table")
    if not isinstance(outputs, dict) or not all(isinstance(name, str) for name in outputs.values()):
        raise ExportUsage(f"{path}: 'outputs' must be a table of names")
    if len(set(outputs.values())) < len(outputs):
        raise ExportUsage(f"{path}: two outputs have the same name in [outputs]")
    return {"decode": keys, "outputs": outputs}


def _class_names(path: Path | None, content: bytes, form: str) -> list[str]:
    """Read class names from a file, or from the list that TFLite metadata packs behind the network."""
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise ExportUsage(f"{path} cannot be read: {problem}") from None
    else:
        text = packed_labels(content, read_tflite(content)) if FORMATS[form].runtime == "tflite" else ""
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise ExportUsage("class names are needed: --labels FILE, one a line (there is no list in the file's metadata)")
    return names


def packed_labels(content: bytes, file: TFLiteFile) -> str:
    """Read the list of labels that TFLite metadata has packed as a zip behind the network; "" if there is none."""
    if "TFLITE_METADATA" not in file.metadata or not zipfile.is_zipfile(io.BytesIO(content)):
        return ""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            lists = [entry for entry in packed.infolist() if entry.filename.lower().endswith(".txt")]
            if len(lists) > 1:
                names = ", ".join(one.filename for one in lists)
                raise ExportUsage(f"the file's metadata has several lists, {names}: name the right one with --labels")
            if not lists or lists[0].file_size > MAX_LABELS_BYTES:
                return ""
            with packed.open(lists[0]) as stream:
                return stream.read(MAX_LABELS_BYTES).decode("utf-8", errors="replace")
    except UNPACK_ERRORS as problem:
        raise ExportUsage(f"labels in the file's metadata cannot be read ({problem}): give --labels") from None


def _calibration_images(settings: Settings, model: dict[str, Any]) -> np.ndarray:
    """Read what int8 is calibrated on and forms are compared on: pictures that were given, or the demo sky."""
    if settings.calibration is not None:
        return load_calibration_images(settings.calibration, model, "detect", settings.samples, settings.seed)
    size = model["input"]["width"], model["input"]["height"]
    frames = [letterbox(frame.pixels, *size)[0] for frame in DemoSource()]
    return np.stack(
        frames[:: max(1, len(frames) // (settings.samples or MAX_IMAGES))][: settings.samples or MAX_IMAGES]
    )


def _build_variants(
    files: dict[str, bytes],
    settings: Settings,
    pictures: np.ndarray,
    say: Callable[[str], None],
) -> BuiltVariants:
    """Make the other forms that were asked for; the one that was given stays the first."""
    made, sources = dict(files), {}
    # What was given stands for the float reference where it is none.
    able = {REFERENCE: ("tflite-int8", "onnx-fp32", "onnx-int8"), "onnx-fp32": ("onnx-int8",)}
    wanted = able.get(next(iter(files)), ()) if ALL in settings.formats else settings.formats
    for name in wanted:
        if name in files or name == REFERENCE:
            continue
        say(f"making {name}")
        if name == "tflite-int8" and REFERENCE in files:
            sources[name] = files[REFERENCE]
            made[name] = quantise_to_int8(files[REFERENCE], settings, pictures)
        elif name == "onnx-fp32" and REFERENCE in files:
            made[name] = tflite_to_onnx(files[REFERENCE])
        elif name == "onnx-int8" and (REFERENCE in files or "onnx-fp32" in files):
            whole = files["onnx-fp32"] if "onnx-fp32" in files else tflite_to_onnx(files[REFERENCE])
            sources[name] = whole
            made[name] = quantise_onnx(whole, pictures, settings.onnx_method)
        else:
            raise ExportUsage(f"{name} cannot be made of {', '.join(files)}")
    return BuiltVariants(made, sources)
