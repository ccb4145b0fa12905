"""Restrict this process by the kernel's interfaces: limits, seccomp and Landlock.

For a child process that handles files of unknown origin. The restrictions cannot be undone. If the kernel lacks
seccomp (Linux 3.17) or Landlock (5.13), only the limits apply.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
_ALLOW, _REFUSE_EPERM, _KILL_PROCESS = 0x7FFF0000, 0x00050001, 0x80000000
# Audit number of the architecture, number of seccomp(2), and those of the calls that are refused: socket, connect,
# bind, execve, execveat, ptrace, process_vm_writev, io_uring_setup (which could do the work of the others).
_SECCOMP = {
    "x86_64": (0xC000003E, 317, (41, 42, 49, 59, 322, 101, 311, 425)),
    "aarch64": (0xC00000B7, 277, (198, 203, 200, 221, 281, 117, 271, 425)),
    "armv7l": (0x40000028, 383, (281, 283, 282, 11, 387, 26, 377, 425)),
}
_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
_LANDLOCK_VERSION = 1
_WRITE_FILE = 1 << 1
# Write, remove and make files of every kind (bits 1, 4 to 12); refer and truncate came with versions 2 and 3.
_CHANGES = {1: _WRITE_FILE | 0x1FF0, 2: 1 << 13, 3: 1 << 14}


def limit_resources(memory: int, file_size: int) -> None:
    """Limit the memory and file size of this process, and disable core dumps.

    Args:
        memory: bytes of address space in addition to what is mapped now.
        file_size: maximum bytes of a file that it writes.
    """
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_cpu_time(seconds: float) -> None:
    """End this process after `seconds` more of its threads' total processor time."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 1, hard))


def forbid_network_and_programs() -> bool:
    """Make the kernel refuse sockets, other programs, and access to other processes.

    Return whether it does.
    """
    machine = platform.machine()
    if machine not in _SECCOMP:
        return False
    arch, seccomp, refused = _SECCOMP[machine]
    # Classic BPF on (call number at byte 0, architecture at byte 4): load, compare and return.
    code = [(0x20, 0, 0, 4), (0x15, 1, 0, arch), (0x06, 0, 0, _KILL_PROCESS), (0x20, 0, 0, 0)]
    code += [(0x35, len(refused), 0, 0x40000000)]  # calls of x32, which have numbers of their own
    code += [(0x15, len(refused) - index, 0, number) for index, number in enumerate(refused)]
    code += [(0x06, 0, 0, _ALLOW), (0x06, 0, 0, _REFUSE_EPERM)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    program = struct.pack("@HP", len(code), ctypes.addressof(filters))
    libc = _without_new_privileges()
    return bool(libc.syscall(seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, program) == 0)


def forbid_changes_outside(folder: Path) -> bool:
    """Make the kernel refuse to write, make or remove files outside a folder.

    Return whether it does.

    Holds for the calling thread and for those that it starts: call it before any other thread exists.
    """
    libc = _without_new_privileges()
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return False
    changes = sum(bits for since, bits in _CHANGES.items() if version >= since)
    rules = libc.syscall(_LANDLOCK_CREATE, struct.pack("=Q", changes), ctypes.c_size_t(8), 0)
    if rules < 0:
        return False
    try:
        for path, allowed in ((folder, changes), (Path(os.devnull), _WRITE_FILE)):
            target = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                if libc.syscall(_LANDLOCK_ADD_RULE, rules, 1, struct.pack("=Qi", allowed, target), 0):
                    return False
            finally:
                os.close(target)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _without_new_privileges() -> ctypes.CDLL:
    """Disable programs that run as another user, as both interfaces require.

    Return the C library.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0)
    return libc
