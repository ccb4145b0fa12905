"""A child process with restricted rights handles material of unknown origin."""

import os
import pickle
import platform
import socket
import subprocess
import time
from pathlib import Path

import pytest
from galaxy_edge.runtime.system.isolated import IsolatedError, IsolatedProcess, IsolatedRefusal, Limits, isolated

confined = pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="seccomp of this machine")


def write(path):
    Path(path).write_text("written")


def open_socket():
    socket.socket()


def run_program(path):
    subprocess.run(["touch", path], check=True)


def take_memory(size):
    len(bytearray(size))


def fill_disk():
    write_bytes = Path("full").write_bytes
    write_bytes(bytes(2**21))


def never_end():
    while True:
        time.sleep(1)


def burn():
    while True:
        pass


class Exploit:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return write, (self.path,)


def answer_with_a_pickle(path):
    return pickle.dumps(Exploit(path))


def folder_of_the_child():
    Path("own").write_text("mine")
    return os.getcwd().encode()


@confined
@pytest.mark.parametrize(
    ("attack", "arguments"),
    [(write, "PATH"), (open_socket, None), (run_program, "PATH"), (take_memory, 2**33), (fill_disk, None)],
)
def test_an_attack_from_inside_changes_nothing(tmp_path, attack, arguments):
    """Files elsewhere, network, other programs, memory and disk are out of reach.

    The caller gets a refusal.
    """
    path = tmp_path / "evil"
    given = [] if arguments is None else [str(path) if arguments == "PATH" else arguments]
    limits = Limits(memory=2**30, file_size=2**20)
    with pytest.raises(IsolatedRefusal):
        isolated(attack, *given, modules=[], seconds=20, limits=limits)
    assert not path.exists()


def test_time_is_limited(tmp_path):
    """Both wall-clock time and processor time are limited."""
    with pytest.raises(IsolatedError, match=r"still busy with it after 0\.5 s"):
        isolated(never_end, modules=[], seconds=0.5)
    with pytest.raises(IsolatedError, match="crashed"):
        isolated(burn, modules=[], seconds=60, limits=Limits(cores=0.01))


def test_the_parent_unpickles_nothing(tmp_path):
    """An answer is a sequence of bytes, whatever it says."""
    content = isolated(answer_with_a_pickle, str(tmp_path / "evil"), modules=[], seconds=20)
    assert content.startswith(b"\x80") and not (tmp_path / "evil").exists()
    with pytest.raises(IsolatedError, match="too long"):
        isolated(answer_with_a_pickle, str(tmp_path / "evil"), modules=[], seconds=20, limits=Limits(result=4))


def test_the_child_has_a_folder_of_its_own():
    """It is removed with the process, and the next process gets another one."""
    with IsolatedProcess([]) as process:
        first = Path(os.fsdecode(process.call(folder_of_the_child, seconds=20)))
        assert (first / "own").exists() and first != Path.cwd()
        process.close()
        assert not first.exists() and Path(os.fsdecode(process.call(folder_of_the_child, seconds=20))) != first
