"""Run functions on material of unknown origin in a process with few rights.

The child has no network, a folder of its own as the only one it may write to, and limits of memory, processor time,
wall-clock time and file size, see `confinement`. The parent trusts nothing it sends: an answer is a plain sequence of
bytes of a limited length, or a text of printable characters. It is never unpickled.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .confinement import forbid_changes_outside, forbid_network_and_programs, limit_cpu_time, limit_resources

START = 120.0
"""Maximum time for importing the modules, before the material is read; long, since a small computer may be busy."""
MAX_TEXT = 2000
"""Maximum number of characters of an error that the process reports."""
READY, RESULT, REFUSED = b"ready", b"+", b"-"


class IsolatedError(Exception):
    """The process refused the material, crashed on it, or took too long.

    The text says which.
    """


class IsolatedRefusal(IsolatedError):
    """The function raised an error, which is the text."""


@dataclass(frozen=True)
class Limits:
    """Limits of a process.

    Attributes:
        memory: bytes of address space in addition to what its modules have mapped.
        file_size: maximum bytes of a file that it writes; result: of its answer.
        cores: processor time that it may take, in multiples of the wall-clock time of a call.
    """

    memory: int = 2**32
    file_size: int = 2**31
    result: int = 2**30
    cores: float = float(os.cpu_count() or 1)


class IsolatedProcess:
    """A process that runs functions one after another.

    When a call ends it, the next call gets a new one.

    Args:
        modules: modules to import before the limits are set.
        limits: limits of the process.
        start: start method of `multiprocessing`: ``forkserver`` for many processes, ``spawn`` for one, which leaves
            no server process behind.
    """

    def __init__(self, modules: Sequence[str], limits: Limits | None = None, start: str = "spawn") -> None:
        self._context: Any = multiprocessing.get_context(start)
        if start == "forkserver":
            self._context.set_forkserver_preload([__name__, *modules])
        self._modules = tuple(modules)
        self._limits = limits or Limits()
        self._process: Any = None
        self._pipe: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> IsolatedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and remove its folder."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._pipe.close()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def call(self, function: Callable[..., bytes | None], *arguments: Any, seconds: float) -> bytes:
        """Run a function of a module in the process.

        Args:
            function, arguments: what is called; both must be picklable.
            seconds: time limit, counted from when the modules are imported; then the process is killed.

        Returns:
            The function's result; b"" for None.

        Raises:
            IsolatedRefusal: the function raised an error.
            IsolatedError: the process crashed, or the time was up.
        """
        if self._process is None:
            self._start()
            if self._receive(START, f"the engine had not started after {START:g} s") != READY:
                self.close()
                raise IsolatedError("the engine cannot be imported")
        try:
            self._pipe.send((function, arguments, seconds))
        except OSError:
            raise self._crashed() from None
        answer = self._receive(seconds, f"the engine was still busy with it after {seconds:g} s")
        if answer[:1] == RESULT:
            return answer[1:]
        text = answer[1:].decode("utf-8", errors="replace")[:MAX_TEXT]
        raise IsolatedRefusal("".join(sign if sign.isprintable() else " " for sign in text) or "it was refused")

    def _receive(self, seconds: float, late: str) -> bytes:
        """Return the next answer; kill the process if it is not complete in time."""
        is_late = threading.Event()
        process = self._process

        def kill() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            return bytes(self._pipe.recv_bytes(self._limits.result + 1))
        except (EOFError, OSError):
            timer.cancel()
            if is_late.is_set():
                self.close()
                raise IsolatedError(late) from None
            raise self._crashed() from None
        finally:
            timer.cancel()
            timer.join()

    def _crashed(self) -> IsolatedError:
        self._process.join(1.0)
        code = self._process.exitcode
        self.close()
        return IsolatedError(
            f"the engine crashed on it (exit code {code})" if code is not None else "its answer is too long"
        )

    def _start(self) -> None:
        """Start a process; it sends READY when its modules are imported."""
        self._folder = tempfile.TemporaryDirectory(prefix="galaxy-edge-", ignore_cleanup_errors=True)
        self._pipe, remote = self._context.Pipe()
        arguments = (remote, self._folder.name, self._modules, self._limits)
        process = self._context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        self._process = process
        remote.close()


def isolated(
    function: Callable[..., bytes | None],
    *arguments: Any,
    modules: Sequence[str],
    seconds: float,
    limits: Limits | None = None,
) -> bytes:
    """Run one function in an `IsolatedProcess` of its own.

    See `IsolatedProcess.call`.
    """
    with IsolatedProcess(modules, limits) as process:
        return process.call(function, *arguments, seconds=seconds)


def _serve(pipe: Connection, folder: str, modules: Sequence[str], limits: Limits) -> None:
    """Run each call that comes through the pipe, and send back its result.

    Runs in the child process.
    """
    os.chdir(folder)
    os.environ.update({"TMPDIR": folder, "HOME": folder})
    tempfile.tempdir = folder
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 1)
    os.dup2(null_device, 2)
    # First, since engines start threads when they are imported, which must be confined as well.
    forbid_changes_outside(Path(folder))
    for module in modules:
        with contextlib.suppress(ImportError):  # what needs it says so
            importlib.import_module(module)
    forbid_network_and_programs()
    limit_resources(limits.memory, limits.file_size)
    pipe.send_bytes(READY)
    while True:
        try:
            function, arguments, seconds = pipe.recv()
        except EOFError:
            return
        limit_cpu_time(seconds * limits.cores)
        try:
            answer = RESULT + (function(*arguments) or b"")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported to the parent
            line = next((line for line in str(error).splitlines() if line.strip()), repr(error))
            answer = REFUSED + line[:MAX_TEXT].encode(errors="replace")
        pipe.send_bytes(answer)
