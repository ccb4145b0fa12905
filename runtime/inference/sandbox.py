"""Load models of unknown origin first in a process with restricted rights.

A malformed file can crash an interpreter, keep it busy forever, or request more memory than there is. The process has
loaded only the engine, and is confined and limited as described in `runtime.system.isolated`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

from ...devices.engines import ENGINES, engines_for, is_installed
from ...models.bundle import Bundle
from ...models.images.memory import memory_limit
from ...models.manifest import BundleError
from ..system.isolated import IsolatedError, IsolatedProcess, Limits

SECONDS = 10.0
MIN_MEMORY, MAX_MEMORY = 2**30, 2**32
"""Limits of the address space in bytes, in addition to what the engine has mapped: the machine's memory, within these
bounds. Threads reserve more than they use."""


def check_model_loads(
    content: bytes, runtime: str, where: str, seconds: float = SECONDS, threads: Sequence[int] = (1,)
) -> None:
    """Load a file in every installed engine and run it once, in a child process.

    Args:
        content: the file.
        runtime: ``tflite`` or ``onnx``.
        where: name of the file in messages.
        seconds: time limit of each load, counted from when the engine is imported; then the process is killed.
        threads: numbers of threads to try.

    Raises:
        BundleError: the engine refuses the file, crashes on it, or takes too much time or memory.
    """
    for engine in _engines(runtime):
        with SandboxedLoader(runtime, "spawn", engine) as loader:
            _check(loader, content, where, seconds, threads)


def check_bundle_loads(bundle: Bundle, variants: Sequence[str]) -> None:
    """Load variants of a bundle of unknown origin in separate processes.

    Every engine loads them, with one and with all threads.

    Raises:
        BundleError: one is not safe to load.
    """
    threads = sorted({1, os.cpu_count() or 1})
    for runtime in dict.fromkeys(bundle.variants[name].runtime for name in variants):
        for engine in _engines(runtime) if engines_for(runtime) else []:
            with SandboxedLoader(runtime, "spawn", engine) as loader:
                for variant in (bundle.variants[name] for name in variants):
                    if variant.runtime == runtime:
                        where = str(bundle.path / variant.file)
                        _check(loader, bundle.read(variant.file), where, SECONDS, threads)


def runnable_here(bundle: Bundle) -> list[str]:
    """Return the names of the variants that any installed engine could run."""
    return [
        name
        for name, variant in bundle.variants.items()
        if any(is_installed(engine) for engine in engines_for(variant.runtime))
    ]


class SandboxedLoader:
    """A process that loads files one after another.

    If a file ends it, the next file gets a new process.

    Args:
        runtime: ``tflite`` or ``onnx``.
        start: see `IsolatedProcess`.
        engine: name of the engine; None for the preferred one of those installed.
    """

    def __init__(self, runtime: str, start: str = "forkserver", engine: str | None = None) -> None:
        self._runtime = runtime
        self._module = ENGINES[engine or _engines(runtime)[0]].module
        memory = min(MAX_MEMORY, max(MIN_MEMORY, memory_limit()))
        self.process = IsolatedProcess(["numpy", __name__, self._module], Limits(memory, file_size=0), start)

    def __enter__(self) -> SandboxedLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self.process.close()

    def try_load(self, content: bytes, seconds: float = SECONDS, threads: int = 1) -> str:
        """Load a file and run it once; return what went wrong, or "" on success."""
        run = {"tflite": _run_tflite, "onnx": _run_onnx}[self._runtime]
        try:
            self.process.call(run, content, self._module, threads, seconds=seconds)
        except IsolatedError as error:
            return str(error)
        return ""


def _engines(runtime: str) -> list[str]:
    """Return the installed engines of a runtime.

    If there is none, the preferred one, to report why.
    """
    names = engines_for(runtime)
    return [name for name in names if is_installed(name)] or list(names[:1])


def _check(loader: SandboxedLoader, content: bytes, where: str, seconds: float, threads: Sequence[int]) -> None:
    for count in threads:
        reason = loader.try_load(content, seconds, count)
        if reason:
            raise BundleError(f"{where} is not safe to load: {reason}")


def _run_tflite(content: bytes, module: str, threads: int) -> None:
    import numpy as np

    engine: Any = importlib.import_module(module)
    interpreter = engine.Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
    interpreter.invoke()
    for details in interpreter.get_output_details():
        interpreter.get_tensor(details["index"])


def _run_onnx(content: bytes, module: str, threads: int) -> None:
    import numpy as np

    from .onnx_engine import INPUTS, session

    network = session(content, "it", threads)
    feeds = {}
    for entry in network.get_inputs():
        if entry.type not in INPUTS or not all(isinstance(size, int) for size in entry.shape):
            raise ValueError(f"input {entry.name} is {entry.type} {entry.shape}, not uint8 or float32 of a fixed size")
        feeds[entry.name] = np.zeros(entry.shape, INPUTS[entry.type])
    network.run(None, feeds)
