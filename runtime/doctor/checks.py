"""All checks, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...devices.engines import ENGINES
from ...devices.probe import probe, profile_for
from ...errors import UserError
from ...models.bundle import Bundle
from ..inference.bundles import RAW_DETECTOR, TASKS, has_raw_detector, load_bundle
from ..inference.load import available_engines
from .cameras import check_cameras
from .clock import check_clock
from .engines import check_engines
from .networks import check_networks
from .packages import check_packages
from .result import CheckResult
from .source import SECONDS, check_source
from .storage import check_storage
from .system import check_groups, check_solvers, check_temperature


@dataclass(frozen=True)
class DoctorConfig:
    """What to check.

    Attributes:
        out: output folder of the runs.
        models: folder with the bundles; None for the shipped ones.
        bundles: folders of bundles to check in their place.
        device: name or TOML file of a device profile; None for this machine's.
        engine: one of `ENGINE_NAMES`; None for the profile's.
        seconds: how long inferences are timed in all.
        camera: source to open, as in ``--camera`` of a run; None for none.
        camera_seconds: time limit for its first frame.
        root: folder that holds ``dev``, ``etc``, ``proc``, ``sys`` and ``usr``.
    """

    out: Path
    models: Path | None = None
    bundles: Sequence[Path] = ()
    device: str | None = None
    engine: str | None = None
    seconds: float = 5.0
    camera: str | None = None
    camera_seconds: float = SECONDS
    root: Path = Path("/")


def run_checks(config: DoctorConfig) -> Iterator[CheckResult]:
    """Run all checks; each result is yielded when it is there.

    Raises:
        UserError: the configuration names something that does not exist.
    """
    profile, machine = profile_for(config.device), probe(config.root, engines=False)
    yield from check_packages()
    failed, bundles = _load_bundles(config)
    yield from failed
    yield from check_engines(profile, bundles, config.root)
    yield from check_cameras(machine, config.root)
    if config.camera is not None:
        yield check_source(config.camera, config.out, config.camera_seconds)
    yield from check_solvers(config.root)
    yield from check_temperature(profile, config.root)
    yield from check_storage(config.out, profile.quota * 2**20)
    created = [bundle.manifest.created for bundle in bundles if bundle.manifest.created[:1].isdigit()]
    yield from check_clock(max(created, default=""), config.root)
    yield from check_groups(machine, config.root)
    usable = available_engines()
    wanted = (config.engine,) if config.engine else (profile.engine, *profile.fallback)
    if any(ENGINES[name].accelerator for name in wanted):
        wanted = (*wanted, *profile.fallback, *usable)  # golden outputs are those of the processor
    engine = next((name for name in wanted if name in usable), None)
    if engine is None:
        detail = f"no engine to replay them: {', '.join(wanted)} is not installed"
        yield CheckResult("golden", "fail", detail, exercised=True)
    elif bundles:
        yield from check_networks(bundles, profile, engine, config.seconds)


def _load_bundles(config: DoctorConfig) -> tuple[list[CheckResult], list[Bundle]]:
    """Return a result for each bundle that cannot be used, and the others."""
    loaded, failed = [], []
    names = [name for name in TASKS if name != RAW_DETECTOR or has_raw_detector(config.models)]
    for name in config.bundles or names:
        try:
            loaded.append(Bundle.load(name) if isinstance(name, Path) else load_bundle(config.models, name))
        except UserError as error:
            hint = "" if config.models or config.bundles else "install galaxy-edge again"
            failed.append(CheckResult(f"golden.{Path(name).name}", "fail", str(error), hint, exercised=True))
    return failed, loaded
