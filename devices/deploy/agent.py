"""The part of a deployment on the device: source sent over ssh, stdlib only.

It answers one request per line of stdin, ``{"command": NAME, ...}``, and locks the folder of the releases until
stdin is closed. A switch to a new release is watched and, if it fails, undone here: so a cut connection does no harm.

``ROOT/current`` is a symbolic link to the running release, ``ROOT/releases/NAME``, which holds wheels, models and venv;
its ``release.json`` is written last, so a release without it is partial.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO

MARK = "@galaxy-edge "
"""Precedes each answer: a login shell may print lines of its own."""
MARGIN = 64 * 2**20
"""Bytes that a deployment leaves free."""
RESTART_SECONDS, CHECK_SECONDS, DOCTOR_SECONDS, MAX_FAILURES = 120, 5, 600, 3


class Refused(Exception):
    """A request that cannot be served; the message is shown to the user."""


class Agent:
    """Installs, switches and watches releases in one folder."""

    def __init__(self) -> None:
        self.root = self.releases = Path()
        self._lock: BinaryIO | None = None  # set once it is held

    def begin(self, root: str, python: str, write: bool) -> dict[str, Any]:
        """Describe the device; with `write`, create and lock the folder of the releases."""
        self.root = Path(root).expanduser().absolute()
        self.releases = self.root / "releases"
        if write:
            self.releases.mkdir(parents=True, exist_ok=True)
            lock = open(self.root / ".lock", "ab")  # noqa: SIM115 - held until the end
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(f"another deployment to {self.root} is under way: wait for its end") from None
            self._lock = lock
        folder = next(path for path in (self.releases, *self.releases.parents) if path.is_dir())
        return {
            "machine": platform.machine(), "python": _find_python(python) if python else "",
            "pythons": platform.python_version(), "glibc": platform.libc_ver()[1],
            "free": shutil.disk_usage(folder).free - MARGIN, "current": self.current(), "releases": self.records(),
        }  # fmt: skip

    def current(self) -> str:
        """Return the name of the running release, "" if there is none yet."""
        link = self.root / "current"
        if not os.path.lexists(link):
            return ""
        if not link.is_symlink():
            raise Refused(f"{link} is not a symbolic link to a release: move it away")
        target = (self.root / os.readlink(link)).resolve()
        if target.parent != self.releases.resolve() or not (target / "release.json").is_file():
            raise Refused(f"{link} points to {os.readlink(link)}, which is not a release: remove the link")
        return target.name

    def records(self) -> list[dict[str, Any]]:
        """Return the records of the complete releases, oldest first."""
        return [json.loads(path.read_text()) for path in sorted(self.releases.glob("*/release.json"))]

    def delete_partial(self) -> None:
        """Delete what a deployment that failed or was cut off has left."""
        for path in self.releases.iterdir() if self._lock else ():
            if not (path / "release.json").is_file():
                shutil.rmtree(path)

    def prepare(self, name: str, files: list[dict[str, Any]]) -> list[str]:
        """Create a release's folder; return the paths of files that no release here has."""
        self.delete_partial()
        release = self.releases / name
        release.mkdir()
        known = {file["sha256"]: self.releases / old["name"] / file["path"]
                 for old in self.records() for file in old["files"]}  # fmt: skip
        missing = []
        for file in files:
            target, source = release / file["path"], known.get(file["sha256"])
            target.parent.mkdir(parents=True, exist_ok=True)
            if source and source.is_file() and _sha256(source) == file["sha256"]:
                os.link(source, target)
            else:
                missing.append(file["path"])
        return missing

    def put(self, name: str, path: str, size: int, sha256: str) -> None:
        """Write the file whose bytes follow the request."""
        digest, left = hashlib.sha256(), size
        with open(self.releases / name / path, "wb") as stream:
            while left:
                block = sys.stdin.buffer.read(min(left, 2**20))
                if not block:
                    raise Refused("the connection was cut")
                stream.write(block)
                digest.update(block)
                left -= len(block)
        if digest.hexdigest() != sha256:
            raise Refused(f"{path} was changed on its way: deploy again")

    def install(self, name: str, python: str, pip: str) -> None:
        """Make the release's environment from its wheels, without a network."""
        release = self.releases / name
        _run([python, "-m", "venv", "--without-pip", str(release / "venv")], "the environment cannot be made")
        command = [str(release / "venv/bin/python"), str(release / "wheels" / pip / "pip"), "install", "--quiet"]
        command += ["--no-index", "--no-cache-dir", "--disable-pip-version-check", "--require-hashes"]
        command += ["--find-links", str(release / "wheels"), "--requirement", str(release / "requirements.txt")]
        _run(command, "the wheels cannot be installed")

    def doctor(self, name: str) -> None:
        """Check the release on this device."""
        program = str((release := self.releases / name) / "venv/bin/galaxy-edge")
        key = ["--key", str(release / "key.pub")] if (release / "key.pub").is_file() else []
        done = _finished([program, "doctor", "--json"], DOCTOR_SECONDS, cwd=str(release))
        try:
            report = json.loads(done.stdout.strip().splitlines()[-1])
            checks = [check for check in report["checks"] if check.get("exercised", True)]
        except (ValueError, KeyError, IndexError, TypeError):
            raise Refused(f"doctor gave no report: {_last_line(done.stderr)}") from None
        if not report.get("ok") or done.returncode:
            bad = [check for check in checks if check["status"] not in ("ok", "warn", "skipped")]
            raise Refused("doctor: " + ("; ".join(f"{c['name']}: {c['detail']}" for c in bad) or "it failed"))
        for path in sorted(release.glob("models/*/")):
            _run([program, "bundle", "verify", *key, str(path)], "bundle")

    def finish(self, name: str, record: dict[str, Any]) -> None:
        """Flush the release to the disk and mark it as complete."""
        os.sync()
        self._record(name, {**record, "name": name, "state": "installed"})

    def activate(self, name: str, restart: str, url: str, start: float, watch: float) -> dict[str, Any]:
        """Switch to a release, restart and watch the service; switch back if it fails."""
        before, began = self.current(), time.monotonic()
        self._point(name)
        reason, serving = self._restart(restart, url, start, watch)
        failed = time.monotonic()
        problem = self._update(name, state="failed" if reason else "healthy", reason=reason)
        result = {"active": name, "before": before, "serving_seconds": serving, "record_problem": problem}
        if not reason:
            return result
        result = {**result, "active": before, "failed": reason, "failed_seconds": round(failed - began, 1)}
        if not before or before == name:  # there is nothing to go back to
            (self.root / "current").unlink()
            return {**result, "active": ""}
        self._point(before)
        problem, _ = self._restart(restart, url, start, 0)
        return {**result, "restore_problem": problem, "rollback_seconds": round(time.monotonic() - failed, 1)}

    def prune(self, keep: int) -> list[str]:
        """Delete releases except the last `keep` and the running one; return their names."""
        old = [record["name"] for record in self.records()[:-keep] if record["name"] != self.current()]
        for name in old:
            (self.releases / name / "release.json").unlink()  # first: from now on it is partial
            shutil.rmtree(self.releases / name)
        return old

    def _point(self, name: str) -> None:
        staged = self.root / ".current"
        staged.unlink(missing_ok=True)
        staged.symlink_to(Path("releases") / name)
        os.replace(staged, self.root / "current")
        os.sync()

    def _restart(self, command: str, url: str, start: float, watch: float) -> tuple[str, float | None]:
        """Return why it does not serve, or "", and the seconds; None: not asked."""
        began = time.monotonic()
        reason = self._run_restart(command) if command else ""
        if reason or not url:
            return reason, None
        while (reason := _unhealthy(url)) and time.monotonic() - began < start:
            time.sleep(0.2)
        serving = round(time.monotonic() - began, 1)
        if reason:
            return f"the service is not healthy after {start:g} s: {reason}", serving
        failures, end = 0, time.monotonic() + watch
        while time.monotonic() < end:
            time.sleep(min(1.0, watch / 4))
            failures = failures + 1 if (reason := _unhealthy(url)) else 0
            if failures >= MAX_FAILURES:
                return f"the service did not stay healthy: {reason}", serving
        return "", serving

    def _run_restart(self, command: str) -> str:
        runtime, log = f"/run/user/{os.getuid()}", self.root / ".restart.log"
        environment = os.environ | ({"XDG_RUNTIME_DIR": runtime} if os.path.isdir(runtime) else {})
        with open(log, "wb") as stream:  # a file: a service that the command starts may keep its output open
            try:
                code = subprocess.run(
                    command, shell=True, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=str(self.root),
                    start_new_session=True, timeout=RESTART_SECONDS, env=environment,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                return f"the restart ({command}) did not end within {RESTART_SECONDS} s"
        return f"the restart ({command}) failed: {_last_line(log.read_text(errors='replace'))}" if code else ""

    def _record(self, name: str, record: dict[str, Any]) -> None:
        staged = self.releases / name / ".release.json"
        with open(staged, "w") as stream:
            json.dump(record, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staged, self.releases / name / "release.json")

    def _update(self, name: str, **fields: Any) -> str:
        """Change fields of a record; return why that fails, as on a full disk."""
        try:
            self._record(name, {**json.loads((self.releases / name / "release.json").read_text()), **fields})
        except OSError as error:
            return _reason(error)
        return ""


def _reason(error: OSError, file: str = "") -> str:
    """Return what went wrong, and what to do if the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "its disk became full: free some space, or keep fewer releases with --keep"
    return f"{file}{error.strerror or error}"


def _find_python(version: str) -> str:
    """Return the path of the device's Python of a version, "" if it has none."""
    if platform.python_version().startswith(f"{version}."):
        return sys.executable
    return shutil.which(f"python{version}") or ""


def _unhealthy(url: str) -> str:
    """Return why the service is not healthy, "" if it is."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=CHECK_SECONDS) as answer:
            return "" if answer.status == 200 else f"{url} answers {answer.status}"
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code} {error.read(200).decode(errors='replace').strip()}".strip()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"{url}: {getattr(error, 'reason', error) or type(error).__name__}"


def _finished(command: list[str], seconds: float, cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, cwd=cwd
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"{' '.join(command[:3])} did not end within {seconds:g} s") from None


def _run(command: list[str], failure: str) -> None:
    done = _finished(command, DOCTOR_SECONDS)
    if done.returncode:
        raise Refused(f"{failure}: {_last_line(done.stderr or done.stdout)}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"]
    return ([line for line in lines if line.startswith("ERROR")] or lines)[-1]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Answer requests until stdin is closed."""
    agent = Agent()
    for line in iter(sys.stdin.buffer.readline, b""):
        request = json.loads(line)
        try:
            answer = {"result": getattr(agent, request.pop("command"))(**request)}
        except Refused as error:
            answer = {"error": str(error)}
        except OSError as error:
            answer = {"error": _reason(error, f"{error.filename or agent.root}: ")}
        with contextlib.suppress(OSError):  # the connection was cut: the work is done all the same
            print(MARK + json.dumps(answer), flush=True)
        if "error" in answer:
            break  # the bytes of a file may follow
    agent.delete_partial()


if __name__ == "__main__":
    main()
