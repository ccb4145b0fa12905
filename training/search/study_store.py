"""The study that the workers of a search share.

It consists of a journal, the limits, a sampler and the workers' heartbeats.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UserError
from ...files import try_lock, wait_for_lock
from .classifier_space import CLASSIFIERS
from .detector_space import DETECTORS
from .space import Space

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

JOURNAL, STUDY = "study.journal", "search"
PROPOSALS, DRAWS = 40, 20_000
"""Maximum proposals of the sampler, and then of random draws, to find a network within the limits."""
BEAT_SECONDS, SILENT_SECONDS = 20.0, 300.0
"""Interval of a worker's heartbeats; silence after which a worker of another machine is considered dead."""


class SearchError(UserError):
    """A search that cannot continue."""

    exit_code = 2


@dataclass(frozen=True)
class Limits:
    """Maximum cost of a network; None for no limit.

    It is given in multiply-adds for one image, and in KiB of the int8 file.
    """

    max_macs: int | None = None
    max_kib: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not value > 0:
                raise SearchError(f"{name} is {value}; it must be greater than 0")

    def allow(self, macs: int, int8_bytes: int) -> bool:
        """Return whether a network is within the limits."""
        return (self.max_macs is None or macs <= self.max_macs) and (
            self.max_kib is None or int8_bytes <= self.max_kib * 1024
        )

    def __str__(self) -> str:
        given = [f"{self.max_macs:,} MACs"] if self.max_macs is not None else []
        return " and ".join(given + ([f"{self.max_kib:g} KiB"] if self.max_kib is not None else [])) or "no limits"


SPACES = (CLASSIFIERS, DETECTORS)


def space_of(study: optuna.Study) -> Space:
    """Return the space that a study searches.

    Raises:
        SearchError: it is not a space of this version.
    """
    agreed = study.user_attrs.get("agreed", {}).get("space")
    found = next((space for space in SPACES if space.hash == agreed), None)
    if found is None:
        raise SearchError(
            "the search was started on another space of networks, by another version of galaxy-edge: continue it "
            "with that version, or name another folder"
        )
    return found


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold ``path.lock`` exclusively among all workers.

    The lock of a killed worker is broken after 30 seconds.
    """
    from optuna.storages.journal import JournalFileOpenLock

    lock = JournalFileOpenLock(str(path))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


# Long because each way in which a stored study does not fit has its own message.
def open_study(storage: Path, agreed: dict[str, Any] | None = None, space: Space = CLASSIFIERS) -> optuna.Study:
    """Open the study in a folder.

    Args:
        storage: the folder.
        agreed: plain values that all workers must share; the first worker creates the study with them. None opens an
            existing study for reading.
        space: the space to search; not used with `agreed` None.

    Raises:
        SearchError: there is no study, its journal is damaged, or it was started with other values.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = storage / JOURNAL

    class Journal(JournalFileBackend):
        """A journal in which a full disk leaves no partial line.

        Other workers would append to such a line.
        """

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            try:
                super().append_logs(logs)
            except OSError:
                with locked(path):
                    _cut_partial_line(path)
                raise

    if agreed is None and not path.is_file():
        raise SearchError(f"{storage} contains no search: it has no {JOURNAL}")
    storage.mkdir(parents=True, exist_ok=True)
    with locked(storage / "turn"):
        _check_journal(path)
        try:
            journal = JournalStorage(Journal(str(path), JournalFileOpenLock(str(path))))
            study = (
                optuna.load_study(storage=journal, study_name=STUDY)
                if agreed is None
                else optuna.create_study(
                    storage=journal, study_name=STUDY, directions=["maximize", "minimize"], load_if_exists=True
                )
            )
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise SearchError(f"{path} is not the journal of a search: {error!r}; name another folder") from None
        if agreed is None:
            return study
        agreed = json.loads(json.dumps({"space": space.hash, **agreed}))
        before = study.user_attrs.get("agreed")
        if before is None:
            if study.get_trials(deepcopy=False) or (storage / "trials.json").exists():
                raise SearchError(f"{path} lacks the beginning of the search in {storage}: restore it")
            study.set_user_attr("agreed", agreed)
            return study
    if before.get("space") != agreed["space"]:
        raise SearchError(f"{storage} was started on another space of networks: name another folder")
    old, new = _flatten(before), _flatten(agreed)
    for name in sorted(old):  # what an earlier version did not record cannot be compared
        if old[name] != new.get(name):
            difference = (
                "on other data" if name in ("data", "loaded") else f"with {name}={old[name]}, not {new.get(name)}"
            )
            raise SearchError(f"{storage} was started {difference}: continue with the same, or name another folder")
    return study


def _flatten(agreed: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested tables into one, so that a message can name a differing value."""
    tables = {name: value for name, value in agreed.items() if isinstance(value, dict)}
    return {key: value for table in tables.values() for key, value in table.items()} | {
        name: value for name, value in agreed.items() if name not in tables
    }


def _cut_partial_line(path: Path) -> None:
    """Remove an incomplete last line.

    Its writer was stopped before the write was confirmed.
    """
    content = path.read_bytes() if path.exists() else b""
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)


def _check_journal(path: Path) -> None:
    """Check that every line of a journal can be read, after removing a partial one."""
    if not path.exists():
        return
    with locked(path), path.open("rb") as stream:  # no line is being written meanwhile
        _cut_partial_line(path)
        for number, line in enumerate(stream, 1):
            try:
                is_complete = line.endswith(b"\n") and "op_code" in json.loads(line)
            except (TypeError, ValueError):
                is_complete = False
            if not is_complete:
                raise SearchError(
                    f"{path} is damaged at line {number}: restore a copy, or keep only the lines before it "
                    "and lose the later ones"
                )


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution of each choice of a space."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        name: IntDistribution(values[0], values[-1], step=values.step)
        if isinstance(values, range)
        else CategoricalDistribution(tuple(values))
        for name, values in space.choices.items()
    }


def sampler(space: Space, seed: list[int], fits: Callable[[Mapping[str, Any]], bool]) -> optuna.samplers.TPESampler:
    """Return a TPE sampler of which all proposals fit the limits."""
    from optuna.samplers import TPESampler

    rng = np.random.default_rng(seed)

    class WithinLimits(TPESampler):
        """A TPE over the whole space that proposes until a proposal is within the limits."""

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
            return distributions(space)

        def sample_relative(self, study: Any, trial: Any, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
            for _ in range(PROPOSALS):
                proposed = super().sample_relative(study, trial, search_space)
                if not proposed:  # too few trials yet
                    break
                if fits(proposed):
                    return proposed
            return draw_network(space, rng, fits)

    return WithinLimits(seed=int(rng.integers(2**31)), multivariate=True, n_startup_trials=10)


def draw_network(space: Space, rng: np.random.Generator, fits: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
    """Draw the choices of a network that is within the limits at random.

    Raises:
        SearchError: none of `DRAWS` networks is.
    """
    for _ in range(DRAWS):
        drawn = {name: values[int(rng.integers(len(values)))] for name, values in space.choices.items()}
        if fits(drawn):
            return drawn
    raise SearchError(f"none of {DRAWS:,} networks drawn at random is within the limits: allow larger ones")


class Heartbeat:
    """A file that shows other workers that this one is alive.

    It is locked for workers on the same machine and touched for the others. Its age is measured by the clock of the
    shared folder, so the clocks of the machines may differ.
    """

    def __init__(self, storage: Path) -> None:
        self.folder, self.host = storage / "workers", socket.gethostname()
        self.folder.mkdir(exist_ok=True)
        self.name = f"{self.host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._ended = threading.Event()

    def __enter__(self) -> Heartbeat:
        self._file = (self.folder / self.name).open("wb")
        wait_for_lock(self._file.fileno())
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        (self.folder / self.name).unlink(missing_ok=True)
        self._file.close()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            os.utime(self._file.fileno())

    def is_alive(self, owner: str) -> bool:
        """Return whether the worker with a given name is alive."""
        try:
            with (self.folder / owner).open("r+b") as file:
                if owner.rsplit("-", 2)[0] != self.host:
                    os.utime(self._file.fileno())
                    silence = os.fstat(self._file.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime
                    return silence < SILENT_SECONDS
                return not try_lock(file.fileno())
        except FileNotFoundError:
            return False
