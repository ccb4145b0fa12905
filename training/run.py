"""The run folder: what a training writes, and what `galaxy-edge export` reads.

::

    RUN/run.json          task, settings, seed, data hashes, model description, metrics, versions
    RUN/log.jsonl         one line an epoch
    RUN/checkpoint/       everything needed to go on after a stop
    RUN/saved_model/      the network: raw uint8 RGB of batch 1 in, named outputs
    RUN/calibration.npz   images (n, H, W, 3) uint8: network inputs drawn from the training share
    RUN/evaluation.npz    network inputs and labels of the validation share, never trained on
    RUN/scenes.png        of a detector: what it is fed
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..runtime.system.utc_time import utc_now


class RunError(UserError):
    """A run folder that cannot be used; the message says why and what to do."""

    exit_code = 2


def write_json(path: Path, content: Any) -> None:
    """Write JSON beside its place, then rename it there, so that a stop leaves the old file or the new one."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def network_hash(folder: Path) -> str:
    """Hash the network of a finished run (SHA-256, hex), by which it is known wherever its folder is moved.

    Raises:
        RunError: it holds none.
    """
    try:
        return hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
    except FileNotFoundError:
        raise RunError(f"{folder} is no finished run of a classifier: it has no model.keras") from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a file beside a place, and rename it there when it is written; one not finished is deleted."""
    beside = path.with_name(path.name + ".part")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)  # on a full disk even a half file is in the way
        raise


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a run folder alone among all processes; however its holder ends, it is let go.

    Raises:
        RunError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    with lock.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another process is at work in {folder}: let it end, or name another --out") from None
        try:
            yield
        finally:
            if list(folder.iterdir()) == [lock]:  # what could not begin leaves nothing
                lock.unlink()
                folder.rmdir()


def read_record(folder: Path) -> dict[str, Any]:
    """Read ``run.json`` of a run folder.

    Raises:
        RunError: the folder is none, or the record is missing or damaged.
    """
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{folder} is not a run folder: it has no run.json") from None
    except ValueError as problem:
        raise RunError(f"{folder / 'run.json'} is damaged: {problem}") from None
    if not isinstance(record, dict) or "task" not in record:
        raise RunError(f"{folder / 'run.json'} is not the record of a run")
    return record


def load_resumable_record(
    folder: Path, task: str, settings: dict[str, Any], data: dict[str, Any], resume: bool
) -> dict[str, Any]:
    """Read the record of a run that is to be gone on with; empty where there is none yet. For arguments see `Run`.

    Raises:
        RunError: there is one and `resume` is not given, or it is another run, or longer than what is asked for.
    """
    if not (folder / "run.json").exists():
        return {}
    if not resume:
        raise RunError(f"{folder} already holds a run: add --resume to go on with it, or name another --out")
    before = read_record(folder)
    for name, value in {"task": task, **settings}.items():
        # What the record of an older version does not know of cannot be compared.
        old = before["task"] if name == "task" else before["settings"].get(name, value)
        if old != value and name not in ("epochs", "threads"):
            raise RunError(f"{folder} was begun with {name}={old}, not {value}: resume it with the same")
    if before["data"]["hash"] != data["hash"]:
        raise RunError(f"{folder} was begun on other data: its hash is {before['data']['hash'][:12]}")
    done = max((line.get("epoch", 0) for line in _logged(folder)), default=0)
    if done > settings.get("epochs", done):
        raise RunError(f"{folder} has {done} epochs behind it: ask for as many at least, or name another --out")
    return before


class RunFolder:
    """An open run folder.

    Args:
        folder: where it is, or will be.
        task: ``classify`` or ``detect``.
        settings: plain values only; a resumed run must have the same, apart from ``epochs`` and ``threads``.
        data: what it is trained on: hashes, counts, split.
        resume: go on with what is there; without it, an existing run is an error, so that none is overwritten.

    Attributes:
        resumed: whether there was a run to go on with.

    Raises:
        RunError: see `begun`.
    """

    def __init__(self, folder: Path, task: str, settings: dict[str, Any], data: dict[str, Any], resume: bool) -> None:
        self.folder = folder
        before = load_resumable_record(folder, task, settings, data, resume)
        self.resumed = bool(before)
        folder.mkdir(parents=True, exist_ok=True)
        self.record: dict[str, Any] = {
            "task": task,
            "started": before.get("started") or _now(),
            "settings": settings,
            "data": data,
            "versions": _versions(),
        }
        write_json(folder / "run.json", self.record)

    @property
    def checkpoints(self) -> Path:
        """The folder for checkpoints, made when asked for."""
        path = self.folder / "checkpoint"
        path.mkdir(exist_ok=True)
        return path

    @contextlib.contextmanager
    def beginning(self) -> Iterator[None]:
        """Take a new run's record away again if this fails: nothing is trained yet that the next try could destroy."""
        try:
            yield
        except Exception:
            if not self.resumed:
                (self.folder / "run.json").unlink(missing_ok=True)
            raise

    def log(self, **values: Any) -> None:
        """Append a line to the log, or nothing where the disk does not take all of it."""
        path = self.folder / "log.jsonl"
        before = path.stat().st_size if path.exists() else 0
        try:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"time": _now(), **values}) + "\n")
        except OSError:
            os.truncate(path, before)  # half a line would spoil the next one too
            raise

    def forget(self, epoch: int) -> None:
        """Take out of the log what comes after an epoch."""
        kept = [line for line in self.logged() if line.get("epoch", 0) <= epoch]
        with replacing(self.folder / "log.jsonl") as beside:
            beside.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def logged(self) -> list[dict[str, Any]]:
        """Read the lines of the log."""
        return _logged(self.folder)

    def finish(self, model: dict[str, Any], metrics: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Complete the record with the model's description (for the bundle), its metrics and more; return it."""
        self.record |= {"finished": _now(), "model": model, "metrics": metrics, **more}
        write_json(self.folder / "run.json", self.record)
        return self.record


def _logged(folder: Path) -> list[dict[str, Any]]:
    path = folder / "log.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _now() -> str:
    return utc_now("seconds")


def _versions() -> dict[str, str]:
    names = ("galaxy-edge", "tensorflow", "keras", "tf-models-official", "numpy", "opencv-python-headless")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
