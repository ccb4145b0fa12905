"""The run folder: what a training writes and what `galaxy-edge export` reads.

::

    RUN/run.json          task, settings, seed, data hashes, model description, metrics, versions
    RUN/log.jsonl         one line per epoch
    RUN/checkpoint/       the state that is needed to resume an interrupted training
    RUN/saved_model/      the network: raw uint8 RGB of batch 1 in, named outputs
    RUN/calibration.npz   images (n, H, W, 3) uint8: network inputs drawn from the training share
    RUN/evaluation.npz    network inputs and labels of the validation share, never trained on
    RUN/scenes.png        detectors only: a sample of the rendered training scenes
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import logging
import operator
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files import atomic_path, file_hash, try_lock, write_atomic
from ..runtime.system.folder_lock import NAME as LOCK_NAME
from ..runtime.system.utc_time import utc_now
from .run_checks import difference, fault
from .run_record import RunError, RunRecord, read_record

logger = logging.getLogger(__name__)

__all__ = [
    "RunError",
    "RunFolder",
    "RunRecord",
    "check_same",
    "load_resumable_record",
    "lock_run_folder",
    "network_hash",
    "read_log",
    "read_record",
    "trained_epochs",
    "write_arrays",
    "write_json",
]


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON atomically, so that an interruption leaves no partial file."""
    write_atomic(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays as a compressed .npz, or leave the file before if that fails."""
    with atomic_path(path) as staged, staged.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def network_hash(folder: Path) -> str:
    """Return the SHA-256 (hex) that identifies a finished classifier's network.

    Raises:
        RunError: the folder holds no trained classifier, or the network of another run.
    """
    path = folder / "model.keras"
    try:
        found = file_hash(path)
    except FileNotFoundError:
        raise RunError(f"{folder} is not a finished run of a classifier: it has no model.keras") from None
    recorded = read_record(folder).extra if (folder / "run.json").exists() else {}
    if recorded.get("network_hash", found) != found:
        raise RunError(f"{path} is not the network that this run trained: copy the run again, with all its files")
    return found


@contextlib.contextmanager
def lock_run_folder(folder: Path) -> Iterator[None]:
    """Lock a run folder among all processes, until the holder ends.

    Raises:
        RunError: another process holds the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise RunError(f"{folder} is not a folder: name another --out") from None
    lock = folder / LOCK_NAME
    with lock.open("wb") as file:
        if not try_lock(file.fileno()):
            raise RunError(f"another process writes to {folder}: wait until it ends, or name another --out")
        try:
            yield
        finally:
            if list(folder.iterdir()) == [lock]:  # a training that could not start leaves no folder
                lock.unlink()
                folder.rmdir()


def load_resumable_record(
    folder: Path, task: str, settings: dict[str, Any], data: dict[str, Any], resume: bool
) -> RunRecord | None:
    """Read the record of a run to be resumed; None if there is none yet.

    For arguments see `RunFolder`.

    Raises:
        RunError: there is a run and `resume` is not given, or it is of other settings or data, or it has already more
            epochs than are requested.
    """
    if not (folder / "run.json").exists():
        return None
    if not resume:
        raise RunError(f"{folder} already holds a run: add --resume to continue it, or name another --out")
    record = read_record(folder)
    if wrong := fault(record.to_dict(), ["data.hash", *({"settings.epochs"} if "epochs" in settings else ())]):
        raise RunError(f"{folder / 'run.json'} is damaged: {wrong}")
    same = {name: value for name, value in settings.items() if name not in ("epochs", "threads")}
    check_same(folder, record, task, same, data)
    done = trained_epochs(folder)
    if done > settings.get("epochs", done):
        raise RunError(f"{folder} already has {done} epochs: request at least as many, or name another --out")
    return record


def check_same(
    folder: Path, record: RunRecord, task: str, settings: Mapping[str, Any], data: Mapping[str, Any]
) -> None:
    """Check that a run has a task, settings and data, as far as they are given.

    Raises:
        RunError: it has others.
    """
    before = {**record.settings, "task": record.task}, record.data
    if found := difference(before, {"task": task, **settings}, data):
        raise RunError(f"{folder} was started {found}: request the same, or name another --out")


class RunFolder:
    """An open run folder.

    Args:
        folder: path of the folder, which may not exist yet.
        task: ``classify`` or ``detect``.
        settings: plain values only; a resumed run must have the same, apart from ``epochs`` and ``threads``.
        data: what the network is trained on: hashes, counts, split.
        resume: continue the run that is there; without it an existing run is an error, so that none is overwritten.

    Attributes:
        resumed: whether there was a run to continue.
        record: the current `RunRecord`.

    Raises:
        RunError: see `load_resumable_record`.
    """

    def __init__(self, folder: Path, task: str, settings: dict[str, Any], data: dict[str, Any], resume: bool) -> None:
        self.folder = folder
        before = load_resumable_record(folder, task, settings, data, resume)
        self.resumed = before is not None
        folder.mkdir(parents=True, exist_ok=True)
        started = before.started if before else ""
        self.record = RunRecord(task, settings, data, started or utc_now("seconds"), _versions())
        # A finished run stays one until an epoch more is trained, which may fail.
        self._keeps_finished = before is not None and before.is_finished
        if not self._keeps_finished:
            self._write_record()

    def _write_record(self) -> None:
        write_json(self.folder / "run.json", self.record.to_dict())

    @property
    def checkpoint_folder(self) -> Path:
        """The folder for checkpoints; it is created on first use."""
        path = self.folder / "checkpoint"
        path.mkdir(exist_ok=True)
        return path

    @contextlib.contextmanager
    def discard_on_failure(self) -> Iterator[None]:
        """Delete a new run's record if the block fails, so that it can be run again.

        Use it before anything is trained that a second try could overwrite. A resumed run keeps its record.
        """
        try:
            yield
        except Exception:
            if not self.resumed:
                (self.folder / "run.json").unlink(missing_ok=True)
            raise

    def log(self, **values: Any) -> None:
        """Append a line to the log, or nothing if the disk cannot store all of it.

        The first line of a longer training takes the place of the result of the shorter one.

        Raises:
            OSError: the line cannot be written.
        """
        path = self.folder / "log.jsonl"
        path.touch()
        size = path.stat().st_size
        try:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"time": utc_now("seconds"), **values}) + "\n")
            if self._keeps_finished:
                self._write_record()
                self._keeps_finished = False
        except OSError:
            os.truncate(path, size)  # a partial line would make the next one unreadable too
            raise

    def truncate_log(self, epoch: int) -> None:
        """Delete the lines of the log after the epoch to continue from."""
        lines = self.read_log()
        kept = [line for line in lines if line.get("epoch", 0) <= epoch]
        if len(kept) < len(lines):
            logger.warning("%s has no checkpoint after epoch %d: the training continues from there", self.folder, epoch)
        write_atomic(self.folder / "log.jsonl", "".join(json.dumps(line) + "\n" for line in kept).encode())

    def read_log(self) -> list[dict[str, Any]]:
        """Return the lines of the log."""
        return read_log(self.folder)

    def finish(self, model: dict[str, Any], metrics: dict[str, Any], **extra: Any) -> RunRecord:
        """Add the model's description and metrics to the record, write and return it."""
        self.record = dataclasses.replace(
            self.record, finished=utc_now("seconds"), model=model, metrics=metrics, extra=extra
        )
        self._write_record()
        return self.record


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log.

    A last line that was cut off by a kill or a power failure is left out.

    Raises:
        RunError: another line is damaged.
    """
    path, found = folder / "log.jsonl", []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            found.append(dict(json.loads(line)))
            operator.index(found[-1].get("epoch", 0))
        except (TypeError, ValueError):
            if number < len(lines):
                raise RunError(
                    f"{path} is damaged at line {number}: delete that line, or train again with another --out"
                ) from None
    return found


def trained_epochs(folder: Path) -> int:
    """Return the number of epochs that a run was trained for, by its log."""
    return max((int(line.get("epoch", 0)) for line in read_log(folder)), default=0)


def _versions() -> dict[str, str]:
    names = ("galaxy-edge", "tensorflow", "keras", "tf-models-official", "numpy", "opencv-python-headless")
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
