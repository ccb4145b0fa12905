"""Choose a bundle's variant and an engine, and load them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ...devices.engines import ENGINE_NAMES, ENGINES, engines_for, is_installed
from ...errors import UsageError
from ...models.bundle import Bundle
from ...models.manifest import BundleError, Variant
from .engine import Engine

if TYPE_CHECKING:
    from ...devices.profile import Profile

logger = logging.getLogger(__name__)


def available_engines() -> list[str]:
    """Return the installed engines of the processor, without importing them."""
    return [name for name, info in ENGINES.items() if not info.accelerator and is_installed(name)]


def select_variant(bundle: Bundle, variant: str = "int8", engine: str | None = None) -> tuple[Variant, str]:
    """Choose the variant and engine; ``int8`` is ``onnx_int8`` for ONNX Runtime.

    Args:
        bundle: a verified bundle.
        variant: e.g. ``int8`` or ``fp32``.
        engine: one of `ENGINE_NAMES`, a plug-in, or None for the preferred one of the variant.

    Returns:
        The variant and the name of the engine. A bundle without a variant for the Edge TPU runs on the processor.

    Raises:
        UsageError: the engine is unknown, or none runs the variant.
        BundleError: the bundle has no such variant, or none for this engine.
    """
    chosen = bundle.variant(variant)
    if engine is not None and engine not in ENGINES:
        return _plugin_variant(bundle, variant, engine), engine
    runners = engines_for(chosen.runtime)
    if engine is None:
        if not runners:
            raise UsageError(
                f"{bundle.path / chosen.file} is for the runtime '{chosen.runtime}', which no known engine supports"
            )
        return chosen, runners[0]
    if engine in runners:
        return chosen, engine
    if engine == "edgetpu":
        compiled = next((item for item in bundle.variants.values() if item.runtime == "edgetpu"), None)
        return (compiled, engine) if compiled else (chosen, _substitute(runners))
    is_onnx = ENGINES[engine].runtime == "onnx"
    other = bundle.variants.get(f"onnx_{variant}" if is_onnx else variant.removeprefix("onnx_"))
    if other is None or engine not in engines_for(other.runtime):
        raise BundleError(
            f"{bundle.path} has no variant of '{variant}' that {engine} runs: choose another --engine, "
            "or export it with --formats"
        )
    return other, engine


def load_engine(bundle: Bundle, variant: str = "int8", engine: str | None = None, threads: int = 1) -> Engine:
    """Load a variant of a bundle into an engine.

    Args:
        bundle: a verified bundle.
        variant: e.g. ``int8`` or ``fp32``; see `select_variant`.
        engine: one of `ENGINE_NAMES`, or None for the preferred one of the variant.
        threads: threads of an inference, at least 1.

    Raises:
        UsageError: the engine is unknown or not installed.
        BundleError: the file does not agree with the manifest.
    """
    requested = engine
    chosen, engine = select_variant(bundle, variant, engine)
    if threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    if requested == "edgetpu":
        if engine == "edgetpu":
            return _edgetpu_engine(bundle, variant, chosen, threads)
        logger.warning(
            "%s has no variant for the Edge TPU and runs on the processor (%s): export it with "
            "--formats tflite-int8,edgetpu", bundle.name, engine,
        )  # fmt: skip
    if engine not in ENGINES:
        return _plugin_engine(bundle, chosen, engine, threads)
    if ENGINES[engine].runtime == "onnx":
        from .onnx_engine import OnnxEngine

        return OnnxEngine(bundle, chosen, threads)
    from .tflite_engine import TFLiteEngine

    return TFLiteEngine(bundle, chosen, engine, threads)


def _plugin_variant(bundle: Bundle, variant: str, engine: str) -> Variant:
    """Return the plug-in's own variant of a bundle, or one of the kind that it runs."""
    from ...devices.engine_plugins import OWN_FILES, load_plugin, plugin_names

    if engine not in plugin_names():
        raise UsageError(f"unknown engine '{engine}'; known: {', '.join((*ENGINE_NAMES, *plugin_names()))}")
    runtime = getattr(load_plugin(engine), "runtime", "")
    names = (variant, f"onnx_{variant}", variant.removeprefix("onnx_"))
    own = [item for item in bundle.variants.values() if item.runtime == OWN_FILES + engine]
    common = [bundle.variants[name] for name in names if name in bundle.variants]
    for item in (*own, *(item for item in common if item.runtime == runtime)):
        return item
    raise BundleError(f"{bundle.path} has no variant of '{variant}' that {engine} runs: choose another --engine")


def _plugin_engine(bundle: Bundle, variant: Variant, engine: str, threads: int) -> Engine:
    from ...devices.engine_plugins import load_plugin

    try:
        made: Engine = load_plugin(engine)(bundle, variant, threads)
    except (RuntimeError, ValueError, OSError, ImportError) as error:
        raise UsageError(f"the engine {engine} cannot run {bundle.path / variant.file}: {error}") from None
    if getattr(made, "name", None) != engine or not callable(made):
        raise UsageError(f"the engine {engine} is not one: it must be callable and have its name")
    return made


def _substitute(runners: tuple[str, ...]) -> str:
    """Return the first installed engine, or else the first one.

    Its error then says what to install.
    """
    return next((name for name in runners if is_installed(name)), runners[0])


def _edgetpu_engine(bundle: Bundle, variant: str, compiled: Variant, threads: int) -> Engine:
    from .edgetpu_engine import EdgeTPUEngine

    substitute = load_engine(bundle, variant, _substitute(engines_for(bundle.variant(variant).runtime)), threads)
    return EdgeTPUEngine(bundle, compiled, substitute, threads)


def resolve_engine(engine: str | None, threads: int | None, profile: Profile | None = None) -> tuple[str, int]:
    """Return the engine and the thread count: as given, or those of a device profile.

    Args:
        engine: one of `ENGINE_NAMES`; None for the profile's, or if that is not installed, one that is.
        threads: threads of an inference; None for the profile's.
        profile: of the device; None for this machine's.
    """
    from ...devices.probe import profile_for

    profile = profile or profile_for(None)
    if engine is None:
        candidates = (profile.engine, *profile.fallback, *available_engines())
        engine = next((name for name in candidates if is_installed(name)), profile.engine)
        if ENGINES[profile.engine].accelerator and engine != profile.engine:
            from ...devices.edgetpu_check import missing_requirement

            logger.warning("the profile %s uses %s, which is not usable: %s; %s is used",
                           profile.name, profile.engine, missing_requirement(), engine)  # fmt: skip
    return engine, threads or profile.threads
