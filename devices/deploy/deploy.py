"""Deploy a release to devices, roll back to an earlier one, list what runs."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError
from .connection import Connection, DeployError
from .release import Release, check_device, check_space

logger = logging.getLogger(__name__)

DEFAULT_ROOT = "~/galaxy-edge"
DEFAULT_RESTART = "sudo -n systemctl restart galaxy-edge"
DEFAULT_HEALTH = "http://127.0.0.1:8080/healthz"
MAX_PARALLEL = 8


@dataclass(frozen=True)
class Target:
    """How releases run on a device.

    Attributes:
        root: folder of the releases there.
        restart: shell command that restarts the service; "" for none.
        health: URL, as seen from the device, that answers 200 while the service is healthy; "" to trust the restart.
        start_seconds: how long the service may take to become healthy.
        health_seconds: how long it must then stay so.
        keep: number of releases that are kept.
        config: configuration of ssh, instead of the user's.
    """

    root: str = DEFAULT_ROOT
    restart: str = DEFAULT_RESTART
    health: str = DEFAULT_HEALTH
    start_seconds: float = 60.0
    health_seconds: float = 60.0
    keep: int = 3
    config: Path | None = None

    @property
    def activation(self) -> dict[str, Any]:
        """Return the agent's arguments for a switch."""
        return {
            "restart": self.restart, "url": self.health, "start": self.start_seconds, "watch": self.health_seconds,
        }  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of one device.

    Attributes:
        host: as given.
        ok: whether what was asked for was done.
        release: that runs there now; "" if none or unknown.
        detail: one line.
        serving_seconds: from the switch to the first healthy answer; None if there is no URL to ask.
        deploy_seconds: from the begin to the first healthy answer.
        failed_seconds: from the switch to the failure.
        rollback_seconds: from the failure to the earlier release serving.
        releases: records of the releases there, for a status.
    """

    host: str
    ok: bool
    release: str = ""
    detail: str = ""
    serving_seconds: float | None = None
    deploy_seconds: float | None = None
    failed_seconds: float | None = None
    rollback_seconds: float | None = None
    releases: tuple[dict[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON, without the files of a release."""
        releases = [{key: value for key, value in record.items() if key != "files"} for record in self.releases]
        return {**asdict(self), "releases": releases}


def deploy(host: str, release: Release, target: Target, allow_older: bool = False) -> Outcome:
    """Install a release on a device, switch to it, and watch it.

    The agent switches back by itself if the release fails.

    Raises:
        DeployError: the release was not activated; what runs there still runs.
    """
    began = time.monotonic()
    with Connection(host, target.config) as agent:
        device = agent.ask("begin", root=target.root, python=release.wheelhouse.python, write=True)
        check_device(release, device, allow_older)
        files = [{"path": file.path, "sha256": file.sha256} for file in release.files]
        # Sorts by time; a second deployment within the same microsecond would be refused, as its folder exists.
        name = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%fZ")
        missing = frozenset(agent.ask("prepare", name=name, files=files))
        check_space(release, missing, device["free"])
        logger.info("%s: copying %d of %d files", host, len(missing), len(files))
        for file in release.files:
            if file.path in missing:
                agent.put(name, file.path, file.content, file.size, file.sha256)
        logger.info("%s: installing", host)
        pip = next(wheel.file for wheel in release.wheelhouse.wheels if wheel.name == "pip")
        agent.ask("install", name=name, python=device["python"], pip=pip)
        logger.info("%s: checking", host)
        agent.ask("doctor", name=name)
        agent.ask("finish", name=name, record=release.record)
        logger.info("%s: switching to %s", host, name)
        switched = time.monotonic()
        outcome = _outcome(host, agent.ask("activate", name=name, **target.activation), switched - began)
        agent.ask("prune", keep=target.keep)
    return outcome


def roll_back(host: str, target: Target, to: str | None = None) -> Outcome:
    """Switch a device back to an earlier release.

    Args:
        host, target: of the device.
        to: name of the release; None for the newest healthy one before the running one.

    Raises:
        DeployError: there is no such release, or the device cannot be reached.
    """
    with Connection(host, target.config) as agent:
        device = agent.ask("begin", root=target.root, python="", write=True)
        names = [record["name"] for record in device["releases"]]
        if to is not None and to not in names:
            raise DeployError(f"there is no release {to}; known: {', '.join(names) or 'none'}")
        healthy = [record["name"] for record in device["releases"] if record["state"] == "healthy"]
        earlier = [name for name in healthy if name < device["current"]]
        if to is None and not earlier:
            raise DeployError("there is no earlier release that was healthy")
        return _outcome(host, agent.ask("activate", name=to or earlier[-1], **target.activation), 0.0)


def status(host: str, target: Target) -> Outcome:
    """Return the releases of a device.

    Raises:
        DeployError: it cannot be reached.
    """
    with Connection(host, target.config) as agent:
        device = agent.ask("begin", root=target.root, python="", write=False)
    records = tuple(device["releases"])
    current = next((record for record in records if record["name"] == device["current"]), None)
    detail = f"version {current['version']}, {current['state']}" if current else "nothing deployed"
    return Outcome(host, True, device["current"], detail, releases=records)


def for_each_host(hosts: tuple[str, ...], work: Callable[[str], Outcome]) -> list[Outcome]:
    """Do the same for many devices in parallel; a failure does not stop the others."""

    def attempt(host: str) -> Outcome:
        try:
            return work(host)
        except UserError as error:
            return Outcome(host, False, detail=str(error))

    with ThreadPoolExecutor(min(MAX_PARALLEL, len(hosts))) as pool:
        return list(pool.map(attempt, hosts))


def _outcome(host: str, result: dict[str, Any], before_switch: float) -> Outcome:
    unrecorded = f"; its state cannot be recorded: {result['record_problem']}" if result["record_problem"] else ""
    if "failed" not in result:
        serving = result["serving_seconds"]
        if serving is None:
            return Outcome(host, True, result["active"], f"switched, not checked whether it serves{unrecorded}")
        seconds = round(before_switch + serving, 1)
        return Outcome(host, True, result["active"], f"serving{unrecorded}", serving, seconds)
    if not result["active"]:
        detail = f"{result['failed']}; there is no earlier release to go back to"
    elif result["restore_problem"]:
        detail = f"{result['failed']}; the earlier release does not serve either: {result['restore_problem']}"
    else:
        detail = f"{result['failed']}; rolled back in {result['rollback_seconds']:.1f} s"
    return Outcome(
        host, False, result["active"], detail + unrecorded, failed_seconds=result["failed_seconds"],
        rollback_seconds=result.get("rollback_seconds"),
    )  # fmt: skip
