"""Choose a bundle's variant and an engine, and load them."""

from __future__ import annotations

from ...errors import UsageError
from ...models.bundle import Bundle, Variant
from ...models.manifest import BundleError
from .engine import ENGINES, RUNS, Engine


def available_engines() -> list[str]:
    """Tell which engines can be loaded here."""
    from . import onnx_engine as engine_onnx
    from . import tflite_engine as engine_tflite

    there = {"onnxruntime": engine_onnx.available()}
    return [name for name in ENGINES if there.get(name) or (name not in there and engine_tflite.available(name))]


def select_variant(bundle: Bundle, variant: str = "int8", engine: str | None = None) -> tuple[Variant, str]:
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


def load_engine(bundle: Bundle, variant: str = "int8", engine: str | None = None, threads: int = 1) -> Engine:
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
    chosen, engine = select_variant(bundle, variant, engine)
    if threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    if engine == "onnxruntime":
        from .onnx_engine import OnnxEngine

        return OnnxEngine(bundle, chosen, threads)
    from .tflite_engine import TFLiteEngine

    return TFLiteEngine(bundle, chosen, engine, threads)
