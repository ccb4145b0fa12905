"""Check the engines: which is selected, and why an accelerator cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...devices.edgetpu import find_library
from ...devices.edgetpu_check import attached_device, missing_requirement
from ...devices.engines import ENGINES, installed_version, is_installed
from ...devices.profile import Profile
from ...extras import install_command
from .result import CheckResult

if TYPE_CHECKING:
    from ...models.bundle import Bundle


def check_engines(profile: Profile, bundles: Sequence[Bundle], root: Path = Path("/")) -> Iterator[CheckResult]:
    """Check the profile's engine and its fallbacks, and an Edge TPU.

    The Edge TPU is checked if there is a device or its library.
    """
    wanted = (profile.engine, *profile.fallback)
    engine = next((name for name in wanted if is_installed(name)), None)
    if engine is None:
        hint = install_command(ENGINES[profile.fallback[0] if profile.fallback else profile.engine].install)
        yield CheckResult("engine", "fail", f"none of {', '.join(wanted)} is installed", hint, exercised=True)
    else:
        threads = f"{profile.threads} thread{'s' if profile.threads > 1 else ''}"
        status = "ok" if engine == profile.engine else "warn"
        other = "" if status == "ok" else f"; {profile.engine}, the profile's, is not installed"
        detail = f"{engine} {installed_version(engine)}, {threads} (profile {profile.name}){other}"
        yield CheckResult("engine", status, detail)
    yield _edgetpu(bundles, root)


def _edgetpu(bundles: Sequence[Bundle], root: Path) -> CheckResult:
    name = "engine.edgetpu"
    reason = missing_requirement(root)
    if attached_device(root) is None:
        return CheckResult(name, "skipped", reason)
    if reason:
        what, _, command = reason.partition(": ")
        hint = command if command.startswith("sudo") else "" if command else "see docs/devices.md, Coral Edge TPU"
        return CheckResult(name, "warn", what if hint == command else reason, hint)
    compiled = [(bundle, form) for bundle in bundles for form in bundle.variants.values() if form.runtime == "edgetpu"]
    if not compiled:
        detail = f"{find_library(root)} and a device; not used, as no bundle has a variant for it"
        return CheckResult(name, "skipped", detail, "galaxy-edge export RUN --formats tflite-int8,edgetpu --out FOLDER")
    from ..inference.edgetpu_engine import why_unusable

    bundle, form = compiled[0]
    reason = why_unusable(bundle.read(form.file), root)
    if reason:
        return CheckResult(name, "fail", reason, "see docs/devices.md, Coral Edge TPU", exercised=True)
    return CheckResult(name, "ok", f"it runs {bundle.name}", exercised=True)
