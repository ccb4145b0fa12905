"""Load models of unknown origin in a separate process first, where they can do no harm.

A malformed file can crash an interpreter or keep it busy for ever. The process has loaded nothing but the engine, may
take no more than `MEMORY` bytes, and is killed when it takes too long.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ...devices.engines import ENGINES, engines_for, is_installed
from ...models.bundle import Bundle
from ...models.manifest import BundleError

SECONDS = 10.0
START = 120.0
"""Seconds until the process must have imported its engine: long, since a small computer may be busy; the file has no
part in it."""
MEMORY = 2**32
"""Bytes of address space that the process may take in addition to what the engine itself has mapped."""
READY = "ready"


def check_model_loads(content: bytes, runtime: str, where: str, seconds: float = SECONDS) -> None:
    """Load a file into its engine and run it once, in a separate process.

    Args:
        content: the file.
        runtime: ``tflite`` or ``onnx``.
        where: name of the file in messages.
        seconds: time limit, counted from when the engine is imported; then the process is killed.

    Raises:
        BundleError: the engine refuses the file, crashes on it, or takes too long.
    """
    with SandboxedLoader(runtime, "spawn") as loader:  # unlike forkserver, no server process stays behind
        reason = loader.try_load(content, seconds)
    if reason:
        raise BundleError(f"{where} is not safe to load: {reason}")


def check_bundle_loads(bundle: Bundle, variants: Sequence[str]) -> None:
    """Load variants of a bundle of unknown origin, each in a separate process.

    Raises:
        BundleError: one is not safe to load.
    """
    for name in variants:
        variant = bundle.variants[name]
        if engines_for(variant.runtime):
            check_model_loads(bundle.read(variant.file), variant.runtime, str(bundle.path / variant.file))


class SandboxedLoader:
    """A process that loads files one after another; when a file ends it, the next file gets a new process.

    Args:
        runtime: ``tflite`` or ``onnx``.
        start: start method of `multiprocessing`: ``forkserver`` for many files, ``spawn`` for one.
    """

    def __init__(self, runtime: str, start: str = "forkserver") -> None:
        self._context: Any = multiprocessing.get_context(start)
        if start == "forkserver":
            self._context.set_forkserver_preload(["numpy", __name__, *_modules(runtime)])
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
        """Load a file and run it once; return what went wrong, or "" on success."""
        is_new = self._process is None
        if is_new:
            self._start()
        try:
            if is_new and not (self._pipe.poll(START) and self._pipe.recv() == READY):
                reason = f"the engine had not started after {START:g} s"
            else:
                self._pipe.send_bytes(content)
                if self._pipe.poll(seconds):
                    return str(self._pipe.recv())
                reason = f"the engine was still busy with it after {seconds:g} s"
        except (EOFError, OSError):
            self._process.join(seconds)
            reason = f"the engine crashed on it (exit code {self._process.exitcode})"
        self.close()
        return reason

    def _start(self) -> None:
        """Start a process; it sends READY when its engine is imported."""
        self._pipe, remote = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._runtime, remote), daemon=True)
        process.start()
        self._process = process
        remote.close()


def _serve(runtime: str, pipe: Connection) -> None:
    """Load and run each file that comes through the pipe, and send back the result. Runs in the child process."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 1)
    os.dup2(null_device, 2)
    _import_engine(runtime)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
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
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported to the parent
            pipe.send(str(error).strip().split("\n")[0] or repr(error))
        else:
            pipe.send("")


def _modules(runtime: str) -> list[str]:
    return [ENGINES[name].module for name in engines_for(runtime)]


def _import_engine(runtime: str) -> Any:
    """Import the engine before memory is counted: of a runtime's engines the first one that is installed."""
    names = engines_for(runtime)
    installed = [name for name in names if is_installed(name)]
    return importlib.import_module(ENGINES[(installed or names)[0]].module)


def _run_tflite(content: bytes) -> None:
    import numpy as np

    interpreter = _import_engine("tflite").Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
    interpreter.invoke()
    for details in interpreter.get_output_details():
        interpreter.get_tensor(details["index"])


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
