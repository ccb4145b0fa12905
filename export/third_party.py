"""Import a third-party detector as a bundle.

It is a TFLite or ONNX file, or a SavedModel.

The file is converted, and first loaded, in separate processes with restricted rights. The network takes raw
levels 0..255: a float network must contain its normalisation. Outputs are identified by the operator that computes
them or by their names, never by shape. The given file is kept unchanged; other formats are built from it on request
and must pass the same gates.
"""

from __future__ import annotations

import hashlib
import logging
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..models.manifest import FORMAT, Variant
from ..models.manifest_check import find_decode_fault
from ..models.preprocess import letterbox
from ..runtime.inference.detector import POSTPROCESSED
from ..runtime.sources.demo import DemoSource
from .bundle import ExportResult, export_record, validate_and_write
from .bundle_writer import check_target, draft_of
from .calibration_images import load_calibration_images
from .class_labels import choose_galaxy_class, count_classes, fit_to_network, read_labels
from .errors import ExportError, ExportUsage
from .isolated_conversion import IsolatedConverter, convert_foreign_saved_model
from .onnx.convert import quantise_onnx, tflite_to_onnx
from .run_reader import read_evaluation
from .settings import ALL, FORMATS, REFERENCE, Settings
from .tflite.reader import FLOAT_DTYPES, POSTPROCESS, read_tflite
from .third_party_outputs import check_self_contained, describe_outputs_by_name, find_outputs, onnx_interface
from .variants import MAX_DETECTIONS, NMS_IOU, BuiltVariants, quantise_to_int8

MAX_IMAGES = 32
"""Maximum number of calibration images without `Settings.samples`, and of images that variants are compared on."""
SCORE_THRESHOLD = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportOptions:
    """Information that a third-party file does not contain itself.

    Attributes:
        task: must be ``detector``.
        labels: class names, one per line; None reads them from the TFLite metadata.
        decode: TOML with the anchors (the keys of a manifest's ``[decode]``, at the top level or in such a table) for a
            network without post-processing, and an optional table ``[outputs]`` with its names of ``boxes`` and
            ``scores``.
        evaluation: .npz with labelled network inputs, as written by a training.
        galaxy_class: name or index of the class of galaxies; required if there are several classes.
        licence, sources: the network's licence, and the sources of its training data.
        name: the bundle's name; None: ``galaxy-detector``.
    """

    task: str | None = None
    labels: Path | None = None
    decode: Path | None = None
    evaluation: Path | None = None
    licence: str | None = None
    name: str | None = None
    sources: tuple[str, ...] = ()
    galaxy_class: str | None = None


def import_model(path: Path, out: Path, settings: Settings, options: ImportOptions) -> ExportResult:
    """Make a bundle of a third-party detector.

    Args:
        path: .tflite, .onnx, or the folder of a SavedModel.
        out: the bundle's folder.
        settings: formats to build in addition to the given one, calibration and so on.
        options: information that the file does not contain.

    Raises:
        ExportError: the file is not a network, is not safe to load, or cannot be imported.
    """
    if options.task != "detector":
        raise ExportUsage("--from imports detectors only: add --task detector")
    out = check_target(out)
    with IsolatedConverter(str(path)) as converter:
        return _import(path, out, settings, options, converter)


def _import(
    path: Path, out: Path, settings: Settings, options: ImportOptions, converter: IsolatedConverter
) -> ExportResult:
    # Long because the manifest is written out key by key in one piece, in the order of the file.
    name, content = _read_model(path, converter)
    width, height = _input_size(name, content)
    given = _read_decode(options.decode)
    outputs = find_outputs(name, content, given["outputs"])
    classes = fit_to_network(read_labels(options.labels, content, name), count_classes(name, content, outputs))
    galaxy_class = choose_galaxy_class(classes, options.galaxy_class)
    decode = _decode_settings(path, options.decode, given["decode"], POSTPROCESSED[0] in outputs)
    if len(classes) > 1:
        decode["galaxy_class"] = galaxy_class
    model: dict[str, Any] = {
        "input": {"width": width, "height": height},
        "preprocess": {"kind": "letterbox", "fill": 0},
    }
    images = _calibration_images(settings, model)
    built = _build_variants(name, content, settings, images, converter)
    record = export_record(settings, len(images))
    tables = {
        "format": FORMAT,
        "name": options.name or "galaxy-detector",
        "task": "detect",
        "version": __version__,
        "created": "unknown",
        "licence": options.licence or "unknown",
        "classes": classes,
        "input": {**model["input"], "dtype": "uint8", "colour": "RGB"},
        "preprocess": model["preprocess"],
        "decode": decode,
        "network": {"parameters": 0, "macs": 0},
        "training": {},
        "data": {"hash": "", "sets": {}, "split": {}, "sources": list(options.sources)},
        "export": record | {"from": {"file": path.name, "sha256": hashlib.sha256(content).hexdigest()}},
        "gates": [],
        "metrics": {},
        "variants": {
            FORMATS[key].variant: Variant(
                FORMATS[key].variant,
                FORMATS[key].file,
                FORMATS[key].runtime,
                tuple(describe_outputs_by_name(key, file, outputs, given["outputs"])),
            ).to_dict()
            for key, file in built.files.items()
        },
    }
    evaluation = {"images": images[:MAX_IMAGES]}
    if options.evaluation:
        evaluation = read_evaluation(options.evaluation, "detect", model, labelled=False)
    return validate_and_write(out, draft_of(tables), built, evaluation, images, settings)


def _read_model(path: Path, converter: IsolatedConverter) -> tuple[str, bytes]:
    """Read or convert a file after loading it in a separate process.

    Return its format and content.
    """
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise ExportError(f"{path} is not a SavedModel: it has no saved_model.pb")
        logger.info("converting the SavedModel to float32, in a separate process")
        content = converter.convert(convert_foreign_saved_model, path.resolve())
        runtime = "tflite"
    else:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ExportError(f"{path} cannot be read: {error.strerror}") from None
        runtime = "onnx" if path.suffix.lower() == ".onnx" else "tflite"
        if runtime == "tflite":
            read_tflite(content, str(path))
        else:
            check_self_contained(content, str(path))
        logger.info("loading the network for the first time, in a separate process")
        converter.check_loads(content, runtime)
    if runtime == "onnx":
        return "onnx-int8" if onnx_interface(content).quantised else "onnx-fp32", content
    graph = read_tflite(content, str(path)).graph
    return REFERENCE if graph.tensors[graph.inputs[0]].dtype in FLOAT_DTYPES else "tflite-int8", content


def _input_size(name: str, content: bytes) -> tuple[int, int]:
    """Return the width and height of the network's input."""
    if FORMATS[name].runtime == "onnx":
        shapes = onnx_interface(content).inputs
    else:
        graph = read_tflite(content).graph
        shapes = [graph.tensors[index].shape for index in graph.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][0] != 1 or shapes[0][3] != 3:
        raise ExportError(f"the network takes {[list(shape) for shape in shapes]}, not one image [1, H, W, 3]")
    return shapes[0][2], shapes[0][1]


def _read_decode(path: Path | None) -> dict[str, dict[str, Any]]:
    """Read the tables ``decode`` and ``outputs`` of a TOML file.

    Without a file both are empty.
    """
    if path is None:
        return {"decode": {}, "outputs": {}}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ExportUsage(f"{path} cannot be read: {error}") from None
    decode = table.get("decode", {key: value for key, value in table.items() if key != "outputs"})
    outputs = table.get("outputs", {})
    if not isinstance(decode, dict):
        raise ExportUsage(f"{path}: 'decode' must be a table")
    if not isinstance(outputs, dict) or not all(isinstance(name, str) for name in outputs.values()):
        raise ExportUsage(f"{path}: 'outputs' must be a table of names")
    if len(set(outputs.values())) < len(outputs):
        raise ExportUsage(f"{path}: two outputs have the same name in [outputs]")
    return {"decode": decode, "outputs": outputs}


def _decode_settings(path: Path, file: Path | None, anchors: dict[str, Any], postprocessed: bool) -> dict[str, Any]:
    """Return the manifest's table ``decode``.

    A network without post-processing needs the keys of its anchors.
    """
    defaults: dict[str, Any] = {
        "score_threshold": SCORE_THRESHOLD,
        "nms_iou": NMS_IOU,
        "max_detections": MAX_DETECTIONS,
    }
    if postprocessed:
        return defaults
    if "min_level" not in anchors:
        raise ExportUsage(
            f"{path} has no {POSTPROCESS}: its anchors are needed. Give --decode a TOML file with min_level, "
            "max_level, anchor_size, scales_per_octave, aspect_ratios, box_weights, e.g. another bundle's bundle.toml"
        )
    decode = defaults | anchors
    fault = find_decode_fault(decode)
    if fault:
        raise ExportUsage(f"{file}: {fault}")
    return decode


def _calibration_images(settings: Settings, model: dict[str, Any]) -> np.ndarray:
    """Return the images for calibration and comparison.

    They are the given images, or frames of the demo source.
    """
    if settings.calibration is not None:
        return load_calibration_images(settings.calibration, model, "detect", settings.samples, settings.seed)
    size = model["input"]["width"], model["input"]["height"]
    frames = [letterbox(frame.pixels, *size)[0] for frame in DemoSource()]
    count = settings.samples or MAX_IMAGES
    return np.stack(frames[:: max(1, len(frames) // count)][:count])


def _build_variants(
    given: str, content: bytes, settings: Settings, images: np.ndarray, converter: IsolatedConverter
) -> BuiltVariants:
    """Build the other requested formats from the given one, which remains the first."""
    convert = converter.convert
    files, sources = {given: content}, {}
    # The formats that ``all`` builds from each given format.
    derived = {REFERENCE: ("tflite-int8", "onnx-fp32", "onnx-int8"), "onnx-fp32": ("onnx-int8",)}
    wanted = derived.get(given, ()) if ALL in settings.formats else settings.formats
    for name in wanted:
        if name in (given, REFERENCE):
            continue
        logger.info("making %s", name)
        if name == "tflite-int8" and given == REFERENCE:
            sources[name] = content
            files[name] = convert(quantise_to_int8, content, settings, images)
        elif name == "onnx-fp32" and given == REFERENCE:
            files[name] = convert(tflite_to_onnx, content)
        elif name == "onnx-int8" and given in derived:
            source = content if given == "onnx-fp32" else files.get("onnx-fp32") or convert(tflite_to_onnx, content)
            sources[name] = source
            files[name] = convert(quantise_onnx, source, images, settings.onnx_method)
        else:
            raise ExportUsage(f"{name} cannot be made from {given}")
    return BuiltVariants(files, sources, convert)
