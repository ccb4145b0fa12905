"""Run hostile code in the process that first loads foreign models.

What the code changed is checked.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .....runtime.system.isolated import IsolatedError, IsolatedProcess, Limits
from ...attack import Attack, NotPossible, Outcome

LIMITS = Limits(memory=2**30, file_size=2**20)
SECONDS = 10.0


def run(count: int, folder: Path) -> Outcome:
    """Run each kind of attack `count` times in isolated processes."""
    victim = folder / "victim"
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    attacks: list[tuple[Callable[..., None], object]] = [
        (_write, str(victim)),
        (_remove, str(folder / "kept")),
        (_connect, port),
        (_start_program, str(victim)),
        (_change_memory, os.getpid()),
        (_take_memory, 2**33),
        (_fill_disk, 2**24),
        (_crash, signal.SIGSEGV),
    ]
    (folder / "kept").write_text("kept", encoding="ascii")
    succeeded, slowest = 0, 0.0
    for _ in range(count):
        with IsolatedProcess([], LIMITS) as process:
            if process.call(_is_confined, seconds=SECONDS) != b"yes":
                raise NotPossible("a kernel with seccomp and Landlock")
            for attack, argument in attacks:
                started = time.monotonic()
                try:
                    process.call(attack, argument, seconds=SECONDS)
                    succeeded += 1
                except IsolatedError:
                    pass
                slowest = max(slowest, time.monotonic() - started)
    listener.close()
    held = succeeded == 0 and not victim.exists() and (folder / "kept").exists()
    return Outcome({"attacks": count * len(attacks), "succeeded": succeeded, "slowest_s": round(slowest, 2)}, held)


def _is_confined() -> bytes:
    """Return whether the kernel refuses; status 2 of seccomp is a filter."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    try:
        os.mkdir("/tmp/galaxy-edge-confinement")
        os.rmdir("/tmp/galaxy-edge-confinement")
        return b"no"
    except PermissionError:
        return b"yes" if "Seccomp:\t2" in lines else b"no"


def _write(path: str) -> None:
    Path(path).write_text("written", encoding="ascii")


def _remove(path: str) -> None:
    os.unlink(path)


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=2).close()


def _start_program(path: str) -> None:
    subprocess.run(["touch", path], check=True)


def _change_memory(process: int) -> None:
    with Path(f"/proc/{process}/mem").open("r+b"):
        pass


def _take_memory(size: int) -> None:
    len(bytearray(size))


def _fill_disk(size: int) -> None:
    Path("full").write_bytes(bytes(size))


def _crash(number: int) -> None:
    os.kill(os.getpid(), number)


ATTACK = Attack(
    promise="Code in a model of unknown origin changes no file and reaches no network, no other program or process.",
    method="{count} times writes, removals, connections, programs, memory of the parent, memory and disk beyond the "
    "limits, and a crash, in the process that models are first loaded in",
    run=run,
    count=50,
    small_count=1,
)
