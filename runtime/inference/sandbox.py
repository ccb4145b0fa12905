"""Run a model of unknown origin for the first time where it can do no harm: in a process of its own.

A malformed file can crash an interpreter or keep it busy for ever. The process comes from a server that has loaded
nothing but the engine; it has no more memory than `TRACK_LIFETIME`, and is killed when it takes too long.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import os
import resource
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ...models.bundle import Bundle
from ...models.manifest import BundleError

SECONDS = 10.0
START = 120.0
"""Seconds in which the process must have its engine: on a busy small computer many, in which the file has no part."""
MEMORY = 2**32
"""Bytes of address space that the process may take beyond what the engine itself has mapped."""
READY = "ready"
MODULES = {"tflite": ["ai_edge_litert.interpreter", "tflite_runtime.interpreter"], "onnx": ["onnxruntime"]}


def check_model_loads(content: bytes, runtime: str, where: str, seconds: float = SECONDS) -> None:
    """Load a file into its engine and run it once, in a process of its own.

    Args:
        content: the file; runtime: ``tflite`` or ``onnx``; where: what it is called in messages.
        seconds: after so many, from when the engine is there, the process is killed.

    Raises:
        BundleError: the engine refuses the file, crashes on it, or takes too long.
    """
    with SandboxedLoader(runtime, "spawn") as loader:  # no server stays behind
        problem = loader.try_load(content, seconds)
    if problem:
        raise BundleError(f"{where} is not safe to load: {problem}")


def check_bundle_loads(bundle: Bundle, variants: Sequence[str]) -> None:
    """Load forms of a bundle that somebody else made, each in a process of its own first.

    Raises:
        BundleError: one is not safe to load.
    """
    for name in variants:
        variant = bundle.variants[name]
        if variant.runtime in MODULES:
            check_model_loads(bundle.read(variant.file), variant.runtime, str(bundle.path / variant.file))


class SandboxedLoader:
    """A process that loads files, one after the other, until one of them ends it; then the next gets a new process.

    Args:
        runtime: ``tflite`` or ``onnx``.
        start: ``forkserver`` where many files are tried, ``spawn`` for one.
    """

    def __init__(self, runtime: str, start: str = "forkserver") -> None:
        self._context: Any = multiprocessing.get_context(start)
        if start == "forkserver":
            self._context.set_forkserver_preload(["numpy", __name__, *MODULES[runtime]])
        self._runtime = runtime
        self._process: Any = None
        self._pipe: Any = None

    def __enter__(self) -> SandboxedLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._pipe.close()
            self._process = None

    def try_load(self, content: bytes, seconds: float = SECONDS) -> str:
        """Load a file and run it once; return what went wrong, or "" where nothing did."""
        new = self._process is None
        if new:
            self._start()
        try:
            if new and not (self._pipe.poll(START) and self._pipe.recv() == READY):
                problem = f"the engine had not started after {START:g} s"
            else:
                self._pipe.send_bytes(content)
                if self._pipe.poll(seconds):
                    return str(self._pipe.recv())
                problem = f"the engine was still at it after {seconds:g} s"
        except (EOFError, OSError):
            self._process.join(seconds)
            problem = f"the engine crashed on it (exit code {self._process.exitcode})"
        self.close()
        return problem

    def _start(self) -> None:
        """Start a process, which says READY when it has its engine."""
        self._pipe, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._runtime, theirs), daemon=True)
        process.start()
        self._process = process
        theirs.close()


def _serve(runtime: str, pipe: Connection) -> None:
    """Load and run what comes through the pipe, and answer what came of it. Runs in the child."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    _imported(runtime)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    run = {"tflite": _run_tflite, "onnx": _run_onnx}[runtime]
    pipe.send(READY)
    while True:
        try:
            content = pipe.recv_bytes()
        except EOFError:
            return
        try:
            run(content)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the parent must hear of it
            pipe.send(str(problem).strip().split("\n")[0] or repr(problem))
        else:
            pipe.send("")


def _imported(runtime: str) -> Any:
    """Import the engine, before memory is counted: LiteRT, or its predecessor where that alone is installed."""
    names = MODULES[runtime]
    there = [name for name in names if importlib.util.find_spec(name.split(".")[0])]
    return importlib.import_module((there or names)[0])


def _run_tflite(content: bytes) -> None:
    import numpy as np

    interpreter = _imported("tflite").Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    for entry in interpreter.get_input_details():
        interpreter.set_tensor(entry["index"], np.zeros(entry["shape"], entry["dtype"]))
    interpreter.invoke()
    for found in interpreter.get_output_details():
        interpreter.get_tensor(found["index"])


def _run_onnx(content: bytes) -> None:
    import numpy as np

    from .onnx_engine import INPUTS, session

    network = session(content, "it")
    feeds = {}
    for entry in network.get_inputs():
        if entry.type not in INPUTS or not all(isinstance(size, int) for size in entry.shape):
            raise ValueError(f"input {entry.name} is {entry.type} {entry.shape}, not uint8 or float32 of a fixed size")
        feeds[entry.name] = np.zeros(entry.shape, INPUTS[entry.type])
    network.run(None, feeds)
