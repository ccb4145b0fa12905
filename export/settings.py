"""Settings of an export: formats, calibration, and the allowed accuracy loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import ExportUsage
from .onnx.convert import METHODS as ONNX_METHODS
from .tflite.calibration_ranges import METHODS as TFLITE_METHODS
from .tflite.quantise import INPUTS, OUTPUTS

REFERENCE = "tflite-fp32"
"""The format with which all others are compared; every bundle of a run contains it."""


@dataclass(frozen=True)
class VariantFormat:
    """A format in which a network can be exported.

    It has its variant's name, its file, and its runtime.
    """

    variant: str
    file: str
    runtime: str


FORMATS = {
    REFERENCE: VariantFormat("fp32", "fp32.tflite", "tflite"),
    "tflite-int8": VariantFormat("int8", "int8.tflite", "tflite"),
    "tflite-postprocess": VariantFormat("postprocess", "int8_postprocess.tflite", "tflite"),
    "onnx-fp32": VariantFormat("onnx_fp32", "fp32.onnx", "onnx"),
    "onnx-int8": VariantFormat("onnx_int8", "int8.onnx", "onnx"),
    "edgetpu": VariantFormat("edgetpu", "int8_edgetpu.tflite", "edgetpu"),
}
POSTPROCESS_FORMAT = "tflite-postprocess"
INT8 = (REFERENCE, "tflite-int8")
"""The formats of ``export --int8``."""

ALL = "all"
"""Stands for every format of the task."""

AUTO = "auto"
METHODS = (AUTO, *dict.fromkeys([*TFLITE_METHODS, *ONNX_METHODS]))
FALLBACK_MODES = ("none", "auto")


@dataclass(frozen=True)
class Settings:
    """How to export.

    Attributes:
        formats: keys of `FORMATS`, or `ALL`; the float reference is always added.
        calibration: folder of images, or .npz with ``images``; None uses the run's own calibration images.
        samples: maximum number of calibration images; None uses all.
        method: how ranges are chosen, one of `METHODS`; ``auto`` is ``mse`` for TFLite and ``min-max`` for ONNX.
        input_type, output_type: of int8 TFLite, ``uint8`` or ``int8``.
        max_drop: points of accuracy, or hundredths of mAP@0.5, that a quantised variant may lose; the recall of a
            class may drop by three times as many points.
        min_precision: precision (0..1) that a detector's operating threshold must have, see
            `models.detection_metrics.operating_threshold`.
        fallback: ``auto`` tries other methods, then 16-bit activations, if int8 loses more than `max_drop`.
        debug_layers: measure the error of every int8 layer.
        force: write the bundle even if a gate fails; it is marked as ungated.
        seed: seed of the selection of calibration images.
    """

    formats: tuple[str, ...] = INT8
    calibration: Path | None = None
    samples: int | None = None
    method: str = AUTO
    input_type: str = "uint8"
    output_type: str = "int8"
    max_drop: float = 1.0
    min_precision: float = 0.9
    fallback: str = "none"
    debug_layers: bool = False
    force: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS and name != ALL:
                raise ExportUsage(f"unknown format '{name}'; known: {', '.join([*FORMATS, ALL])}")
        for name, value, known in (
            ("method", self.method, METHODS),
            ("input type", self.input_type, INPUTS),
            ("output type", self.output_type, OUTPUTS),
            ("fallback", self.fallback, FALLBACK_MODES),
        ):
            if value not in known:
                raise ExportUsage(f"unknown {name} '{value}'; known: {', '.join(known)}")
        if self.samples is not None and self.samples < 1:
            raise ExportUsage(f"samples must be at least 1, not {self.samples}")
        if not 0 <= self.max_drop <= 100:
            raise ExportUsage(f"max-drop must be 0 to 100 points, not {self.max_drop}")
        if not 0 <= self.min_precision <= 1:
            raise ExportUsage(f"min-precision must be 0 to 1, not {self.min_precision}")
        requested = set(self.formats)
        uses_int8_tflite = requested & {"tflite-int8", POSTPROCESS_FORMAT, "edgetpu", ALL}
        if uses_int8_tflite and self.method not in (AUTO, *TFLITE_METHODS):
            raise ExportUsage(f"int8 TFLite has no method '{self.method}'; choose from {', '.join(TFLITE_METHODS)}")

    @property
    def tflite_method(self) -> str:
        """The method for TFLite.

        ``mse`` lost the least accuracy on our networks of both tasks.
        """
        return "mse" if self.method == AUTO else self.method

    @property
    def onnx_method(self) -> str:
        """The method for ONNX."""
        return "min-max" if self.method == AUTO else self.method

    def wanted(self, task: str) -> dict[str, VariantFormat]:
        """Return the formats to build for a task, in the order of `FORMATS`.

        They include the formats that others are built from.
        """
        if task != "detect" and POSTPROCESS_FORMAT in self.formats:
            raise ExportUsage(f"{POSTPROCESS_FORMAT} is for detectors; this is a classifier")
        if task != "detect" and self.min_precision != Settings.min_precision:
            raise ExportUsage("min-precision is for detectors; this is a classifier, which has no such threshold")
        needed = {REFERENCE, *self.formats}
        if ALL in needed:
            needed |= {name for name in FORMATS if task == "detect" or name != POSTPROCESS_FORMAT}
        if "edgetpu" in needed:
            needed.add("tflite-int8")
        return {name: variant for name, variant in FORMATS.items() if name in needed}
