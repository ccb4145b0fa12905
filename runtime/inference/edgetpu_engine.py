"""Run a network on an Edge TPU, and on the processor while there is none.

The library is loaded in a child process first: versions that do not fit together end the process, and a device that is
lost can make it wait forever. Not verified on hardware.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np

from ...devices.edgetpu import find_library
from ...devices.edgetpu_check import attached_device, missing_requirement
from ...devices.engines import ENGINES
from ...errors import UserError
from ...models.bundle import Bundle
from ...models.manifest import Variant
from .engine import Engine, RawTensor
from .tflite_engine import TFLiteEngine

PROBE_SECONDS = 20.0
"""Time limit of the child process; the first use of a USB device uploads its firmware, which takes seconds."""

RETRY_SECONDS = 30.0
"""Time between attempts to use a lost device again."""

_PROBE = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
delegate = module.load_delegate(sys.argv[2])
interpreter = module.Interpreter(model_content=sys.stdin.buffer.read(), experimental_delegates=[delegate])
interpreter.allocate_tensors()
interpreter.invoke()
"""

_engines: weakref.WeakSet[EdgeTPUEngine] = weakref.WeakSet()
"""Engines of this process. A device that one of them holds cannot be opened by a child process, but by the others."""

logger = logging.getLogger(__name__)


def why_unusable(content: bytes, root: Path = Path("/")) -> str:
    """Run a network on the Edge TPU in a child process.

    Return why it cannot be used, or "" if it can.

    Args:
        content: the compiled network.
        root: folder that holds ``usr``, ``lib``, ``sys`` and ``dev``.
    """
    library = find_library(root)
    if library is None:
        return missing_requirement(root)
    info = ENGINES["edgetpu"]
    command = [sys.executable, "-c", _PROBE, info.module, library]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"{library} did not answer within {PROBE_SECONDS:g} s: unplug the device and plug it in again"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return (
            f"{library} crashes (signal {-done.returncode}): its version does not fit {info.distribution}; "
            "install a build for it (see docs/devices.md)"
        )
    last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return missing_requirement(root) or f"{library} refuses the device or the network: {last or 'it gives no reason'}"


class EdgeTPUEngine:
    """An Edge TPU with the processor as a substitute.

    Args:
        bundle: a verified bundle.
        compiled: its variant for the Edge TPU.
        substitute: loads the engine that is used while there is no device.
        threads: of the operators that the compiler left on the processor.
        root: folder that holds ``sys`` and ``dev``.
    """

    def __init__(
        self, bundle: Bundle, compiled: Variant, substitute: Engine, threads: int, root: Path = Path("/")
    ) -> None:
        self._bundle, self._variant, self._threads, self._root = bundle, compiled, threads, root
        self._substitute = substitute
        self._device: TFLiteEngine | None = None
        self._probe: threading.Thread | None = None
        self._usable, self._next_attempt = False, 0.0
        reason = self._why_unusable()
        _engines.add(self)
        if reason:
            logger.warning("%s runs on the processor (%s): %s", bundle.name, substitute.name, reason)
            self._next_attempt = time.monotonic() + RETRY_SECONDS
        else:
            self._load()

    @property
    def name(self) -> str:
        """Name of the engine in use."""
        return "edgetpu" if self._device else self._substitute.name

    def __call__(self, batch: np.ndarray) -> dict[str, RawTensor]:
        """Run on a (1, H, W, 3) uint8 RGB batch.

        Return the raw outputs, without the batch axis, by name.
        """
        if self._device is None:
            self._try_again()
        if self._device is not None:
            try:
                return self._device(batch)
            except (RuntimeError, ValueError) as error:
                self._device = None
                self._next_attempt = time.monotonic() + RETRY_SECONDS
                reason = missing_requirement(self._root) or str(error).partition("\n")[0]
                logger.warning(
                    "%s: the Edge TPU was lost (%s); the processor continues, and the device is tried again every %g s",
                    self._bundle.name, reason, RETRY_SECONDS,
                )  # fmt: skip
        return self._substitute(batch)

    def _why_unusable(self) -> str:
        if any(engine._device for engine in _engines):
            return ""
        return why_unusable(self._bundle.read(self._variant.file), self._root)

    def _load(self) -> None:
        library = find_library(self._root)
        try:
            self._device = TFLiteEngine(self._bundle, self._variant, "edgetpu", self._threads, library)
        except UserError as error:
            logger.warning(
                "%s runs on the processor (%s): the Edge TPU cannot run %s: %s",
                self._bundle.name, self._substitute.name, self._variant.file, error,
            )  # fmt: skip
            self._next_attempt = time.monotonic() + RETRY_SECONDS

    def _try_again(self) -> None:
        """Look for the device in a thread, and load it once it is usable.

        Inference continues meanwhile.
        """
        if self._usable:
            self._usable = False
            self._load()
            if self._device:
                logger.warning("%s: the Edge TPU is back", self._bundle.name)
        elif time.monotonic() >= self._next_attempt and not (self._probe and self._probe.is_alive()):
            self._next_attempt = time.monotonic() + RETRY_SECONDS
            if attached_device(self._root) is not None:
                self._probe = threading.Thread(target=self._look, name="edge-tpu", daemon=True)
                self._probe.start()

    def _look(self) -> None:
        self._usable = not self._why_unusable()
