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
import hashlib
import importlib.metadata
import json
import logging
import operator
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import try_lock, write_atomic
from ..runtime.system.folder_lock import NAME as LOCK_NAME
from ..runtime.system.utc_time import utc_now

logger = logging.getLogger(__name__)


class RunError(UserError):
    """A run folder that cannot be used; the message says why and what to do."""

    exit_code = 2


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The content of ``run.json``.

    Attributes:
        task: ``classify`` or ``detect``.
        settings: plain values: the recipe or the detector's settings, seed, threads.
        data: what the network is trained on: hash, number of images by set, split, sources.
        started, finished: UTC times in ISO format, "" if there is none yet.
        versions: package name -> version.
        model: description of the network for the bundle: input, preprocess, decode, outputs, classes, parameters,
            macs; empty until the training has finished, as are `metrics`.
        metrics: measured on the validation share.
        extra: other values at the top level of the file, e.g. ``core_hours`` of a detector.
    """

    task: str
    settings: dict[str, Any]
    data: dict[str, Any]
    started: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    finished: str = ""
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the training has ended and the network is described."""
        return bool(self.model)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as it is written to ``run.json``."""
        at_start = {name: getattr(self, name) for name in ("task", "started", "settings", "data", "versions")}
        finished = {name: getattr(self, name) for name in ("finished", "model", "metrics")} if self.is_finished else {}
        return at_start | finished | self.extra

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunRecord:
        """Create a record from the values of `to_dict`; all but ``task`` have defaults."""
        known = {field.name for field in dataclasses.fields(cls)} - {"extra"}
        fields = {"settings": {}, "data": {}} | {name: value for name, value in values.items() if name in known}
        return cls(**fields, extra={name: value for name, value in values.items() if name not in known})


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON atomically, so that an interruption leaves no partial file."""
    write_atomic(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def network_hash(folder: Path) -> str:
    """Return the SHA-256 (hex) that identifies a finished classifier's network.

    Raises:
        RunError: the folder holds no trained classifier.
    """
    try:
        return hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
    except FileNotFoundError:
        raise RunError(f"{folder} is not a finished run of a classifier: it has no model.keras") from None


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


def read_record(folder: Path, task: str = "") -> RunRecord:
    """Read ``run.json`` of a run folder.

    Raises:
        RunError: the folder is not a run folder, or not one of the `task` if given, or the record is damaged.
    """
    path = folder / "run.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{folder} is not a run folder: it has no run.json") from None
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None
    if not isinstance(values, dict) or "task" not in values:
        raise RunError(f"{path} is not the record of a run")
    tables = ("settings", "data", "model", "metrics") if task else ()
    if wrong := [name for name in tables if not isinstance(values.get(name, {}), dict)]:
        raise RunError(f"{path} is damaged: its '{wrong[0]}' is no table")
    if task and values["task"] != task:
        raise RunError(f"{folder} is not a run of a {'classifier' if task == 'classify' else 'detector'}")
    return RunRecord.from_dict(values)


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
    for name, value in {"task": task, **settings}.items():
        # A setting that an older version did not record cannot be compared.
        recorded = record.task if name == "task" else record.settings.get(name, value)
        if recorded != value and name not in ("epochs", "threads"):
            raise RunError(f"{folder} was started with {name}={recorded}, not {value}: resume it with the same")
    if record.data["hash"] != data["hash"]:
        raise RunError(f"{folder} was started on other data: its hash is {record.data['hash'][:12]}")
    if record.data.get("labels", data.get("labels")) != data.get("labels"):
        raise RunError(f"{folder} was started with other boxes on the same images: name another --out")
    done = trained_epochs(folder)
    if done > settings.get("epochs", done):
        raise RunError(f"{folder} already has {done} epochs: request at least as many, or name another --out")
    return record


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

        Raises:
            OSError: the line cannot be written.
        """
        path = self.folder / "log.jsonl"
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"time": utc_now("seconds"), **values}) + "\n")
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
