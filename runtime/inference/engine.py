"""Engines: what runs a variant's file. One small file each; this one chooses.

An engine is a callable: a (1, H, W, 3) uint8 RGB batch in, the raw outputs by name out. It never guesses: which
tensor is which output is written in the bundle, and a file that does not agree is refused.
"""

from __future__ import annotations

from types import EllipsisType
from typing import NamedTuple, Protocol

import numpy as np

from ...models.bundle import Bundle, Variant
from ...models.manifest import BundleError
from ..errors import UsageError

ENGINES = ("litert", "tflite-runtime", "onnxruntime")
RUNS = {"tflite": ("litert", "tflite-runtime"), "onnx": ("onnxruntime",), "edgetpu": ()}
"""Which engines run a variant, by its runtime in the manifest; the first is the usual one."""


class Output(NamedTuple):
    """A raw output: values as the network gave them, and how to read them: real = (value - zero_point) * scale."""

    values: np.ndarray
    scale: float
    zero_point: int

    def real(self, chosen: np.ndarray | slice | EllipsisType = ...) -> np.ndarray:
        """Return float32 values, of the rows `chosen` only."""
        values = np.asarray(self.values)[chosen].astype(np.float32)
        return values if self.scale == 0.0 else (values - self.zero_point) * np.float32(self.scale)

    def floor(self, level: float) -> float:
        """Return the raw value above which lie the reals above `level`, to compare without dequantising."""
        return level if self.scale == 0.0 else level / self.scale + self.zero_point


class Engine(Protocol):
    """Runs one network."""

    name: str

    def __call__(self, batch: np.ndarray) -> dict[str, Output]:
        """Run on a (1, H, W, 3) uint8 RGB batch; return the raw outputs, without the batch axis, by name."""
        ...


def installed() -> list[str]:
    """Tell which engines can be loaded here."""
    from . import onnx_engine as engine_onnx
    from . import tflite_engine as engine_tflite

    there = {"onnxruntime": engine_onnx.available()}
    return [name for name in ENGINES if there.get(name) or (name not in there and engine_tflite.available(name))]


def form(bundle: Bundle, variant: str = "int8", engine: str | None = None) -> tuple[Variant, str]:
    """Choose the form of a network that an engine runs: ``int8`` is ``onnx_int8`` to ONNX Runtime.

    Args:
        engine: one of `ENGINES`, or None for the usual one of the variant.

    Raises:
        UsageError: the engine is unknown, or none runs the variant.
        BundleError: the bundle has no such variant, or none for this engine.
    """
    if engine is not None and engine not in ENGINES:
        raise UsageError(f"unknown engine '{engine}'; known: {', '.join(ENGINES)}")
    chosen = bundle.variant(variant)
    if engine is None:
        if not RUNS[chosen.runtime]:
            raise UsageError(f"{bundle.path / chosen.file} is for the runtime '{chosen.runtime}', which runs none here")
        return chosen, RUNS[chosen.runtime][0]
    if engine in RUNS[chosen.runtime]:
        return chosen, engine
    other = bundle.variants.get(f"onnx_{variant}" if engine == "onnxruntime" else variant.removeprefix("onnx_"))
    if other is None or engine not in RUNS[other.runtime]:
        raise BundleError(
            f"{bundle.path} has no form of '{variant}' that {engine} runs: choose another --engine, "
            "or export it with --formats"
        )
    return other, engine


def load(bundle: Bundle, variant: str = "int8", engine: str | None = None, threads: int = 1) -> Engine:
    """Load a variant of a bundle into an engine.

    Args:
        bundle: a verified bundle.
        variant: e.g. ``int8`` or ``fp32``; see `form`.
        engine: one of `ENGINES`, or None for the usual one of the variant.
        threads: threads inside an inference, at least 1.

    Raises:
        UsageError: the engine is unknown or not installed.
        BundleError: the file does not agree with the manifest.
    """
    chosen, engine = form(bundle, variant, engine)
    if threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    if engine == "onnxruntime":
        from .onnx_engine import OnnxEngine

        return OnnxEngine(bundle, chosen, threads)
    from .tflite_engine import TFLiteEngine

    return TFLiteEngine(bundle, chosen, engine, threads)
