"""A connection to a device over OpenSSH, with the agent at its other end."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ...errors import UsageError, UserError
from .agent import MARK

OPTIONS = {
    "BatchMode": "yes",  # a question could not be answered
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
}
_BOOTSTRAP = "import sys; exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
_BLOCK = 2**20


class DeployError(UserError):
    """A device that could not be deployed to; the message does not name the host."""


def check_host(host: str) -> str:
    """Return a host if ssh takes it as a host.

    Raises:
        UsageError: it is empty, an option, or has characters that no host has.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@:%\[\]-]*", host):
        raise UsageError(f"'{host}' is not a host: give HOST or USER@HOST, with commas between several")
    return host


class Connection:
    """The agent on a device; requests are answered one after the other.

    All files and commands take one ssh session: what is lost with it is noticed at both ends.

    Args:
        host: as for ssh: a name of the user's ssh_config, HOST or USER@HOST.
        config: of ssh, instead of the user's.

    Raises:
        DeployError: ssh is not installed.
    """

    def __init__(self, host: str, config: Path | None = None) -> None:
        command = ["ssh", "-T", *(["-F", str(config)] if config else [])]
        command += [f"-o{name}={value}" for name, value in OPTIONS.items()]
        command += ["--", check_host(host), f"exec python3 -u -c {shlex.quote(_BOOTSTRAP)}"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the connection
        try:
            self._ssh = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0
            )
        except OSError as error:
            self._errors.close()
            raise DeployError(f"ssh cannot be started ({error.strerror}): install OpenSSH's client") from None
        source = Path(__file__).with_name("agent.py").read_bytes()
        self._write(b"%d\n" % len(source) + source)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, command: str, **fields: Any) -> Any:
        """Send a request; return the agent's result.

        Raises:
            DeployError: the agent refuses it, or the connection is lost.
        """
        self._write(json.dumps({"command": command, **fields}).encode() + b"\n")
        return self._answer()

    def put(self, release: str, path: str, content: Path | bytes, size: int, sha256: str) -> None:
        """Send a file, or the content of one.

        Raises:
            DeployError: it cannot be written there, or the connection is lost.
        """
        request = {"command": "put", "name": release, "path": path, "size": size, "sha256": sha256}
        self._write(json.dumps(request).encode() + b"\n")
        if isinstance(content, bytes):
            self._write(content)
        else:
            with open(content, "rb") as stream:
                while block := stream.read(_BLOCK):
                    self._write(block)
        self._answer()

    def close(self) -> None:
        """End the connection, and with it the agent and its lock."""
        for stream in (self._ssh.stdin, self._ssh.stdout):
            if stream and not stream.closed:
                stream.close()
        try:
            self._ssh.wait(5)
        except subprocess.TimeoutExpired:
            self._ssh.terminate()
            self._ssh.wait()
        self._errors.close()

    def _write(self, content: bytes) -> None:
        assert self._ssh.stdin is not None
        view = memoryview(content)
        try:
            while view:
                view = view[self._ssh.stdin.write(view) or 0 :]
        except BrokenPipeError:
            self._answer()  # raises with the reason: ssh has ended, or the agent has refused the file
            raise DeployError("the connection was lost") from None

    def _answer(self) -> Any:
        assert self._ssh.stdout is not None
        buffer = b""
        while byte := self._ssh.stdout.read(65536):
            buffer += byte
            for line in buffer.splitlines(keepends=True):
                if line.endswith(b"\n") and line.startswith(MARK.encode()):
                    answer = json.loads(line[len(MARK) :])
                    if "error" in answer:
                        raise DeployError(answer["error"])
                    return answer["result"]
        raise DeployError(self._why_ended())

    def _why_ended(self) -> str:
        code = self._ssh.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        last = lines[-1] if lines else f"ssh ended with {code}"
        if code == 127:
            return "python3 is not installed there: sudo apt install python3"
        if code == 255:
            return f"cannot be reached: {last}"
        return f"the agent ended: {last}"
