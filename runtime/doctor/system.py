"""Check temperature and throttling, the rights of this user, and plate solvers."""

from __future__ import annotations

import grp
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ...devices.edgetpu_check import attached_device
from ...devices.probe import Machine, read_file
from ...devices.profile import Profile
from .result import CheckResult

THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits of a Raspberry Pi's `get_throttled`: now; 16 bits higher: since the start."""
SINCE_START = 16
INDEXES = ("usr/share/astrometry", "usr/local/share/astrometry", "usr/local/astrometry/data")
SOLVER_PACKAGES = "astrometry.net astrometry-data-tycho2"
STAR_CATALOGUE = "index-tycho2-07.littleendian.fits"
"""The index that is also the catalogue by which solutions are checked."""


def check_temperature(profile: Profile, root: Path = Path("/")) -> Iterator[CheckResult]:
    """Check temperatures by the profile's limit, and a Raspberry Pi's throttling."""
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        text = read_file(zone / "temp").strip()
        if re.fullmatch(r"-?\d+", text):
            found[read_file(zone / "type").strip() or zone.name] = int(text) / 1000
    if found:
        hottest, limit = max(found.values()), profile.throttle
        hot = bool(limit) and hottest >= limit - 5
        texts = ", ".join(f"{kind} {value:.0f} degrees C" for kind, value in found.items())
        known = f"; the device slows down at {limit}" if limit else ""
        hint = "improve the cooling, or run with fewer --threads" if hot else ""
        yield CheckResult("temperature", "warn" if hot else "ok", texts + known, hint, exercised=True)
    else:
        yield CheckResult("temperature", "skipped", "no sensor in /sys/class/thermal")
    bits = _throttled(root)
    if bits is not None:
        now = [text for bit, text in THROTTLED.items() if bits >> bit & 1]
        earlier = [text for bit, text in THROTTLED.items() if bits >> (bit + SINCE_START) & 1]
        detail = f"now: {', '.join(now) or 'no'}; since the start: {', '.join(earlier) or 'no'}"
        hint = (
            "use the power supply of the board's maker, and a short cable" if "under-voltage" in now + earlier else ""
        )
        yield CheckResult("throttling", "warn" if now or earlier else "ok", detail, hint, exercised=True)


def _throttled(root: Path) -> int | None:
    for path in sorted((root / "sys/devices/platform").glob("soc*/soc*:firmware/get_throttled")):
        if re.fullmatch(r"(0x)?[0-9a-f]+", text := read_file(path).strip()):
            return int(text, 16)
    program = shutil.which("vcgencmd") if root == Path("/") else None
    if program is None:
        return None
    try:
        done = subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"throttled=0x([0-9a-f]+)", done.stdout)
    return int(match[1], 16) if match else None


def check_groups(machine: Machine, root: Path = Path("/")) -> Iterator[CheckResult]:
    """Check that this user may open the cameras and an Edge TPU."""
    needed = {"video": [root / path.lstrip("/") for path in machine.cameras]}
    if device := attached_device(root):
        needed["apex" if device.name.startswith("apex") else "plugdev"] = [device]
    for group, paths in needed.items():
        name = f"groups.{group}"
        if not paths:
            yield CheckResult(name, "skipped", "no device needs it")
        elif all(os.access(path, os.R_OK | os.W_OK) for path in paths):
            yield CheckResult(name, "ok", "this user may open the devices")
        else:
            listed = _is_listed(group)
            detail = "this session began before the user was added" if listed else "this user is not in the group"
            yield CheckResult(name, "warn", detail, "log in again" if listed else f"sudo usermod -aG {group} $USER")


def _is_listed(group: str) -> bool:
    try:
        members = grp.getgrnam(group).gr_mem
    except KeyError:
        return False
    return os.environ.get("USER", "") in members


def check_solvers(root: Path = Path("/")) -> Iterator[CheckResult]:
    """Check whether a plate solver and its index files are installed.

    Nothing is solved.
    """
    programs = [name for name in ("solve-field", "astap", "astap_cli") if shutil.which(name)]
    if importlib.util.find_spec("seiza"):
        programs.append("seiza")
    hint = f"sudo apt install {SOLVER_PACKAGES}"
    if not programs:
        yield CheckResult("solver", "skipped", "no solve-field, astap or seiza", hint)
        return
    yield CheckResult("solver", "ok", ", ".join(programs))
    if "solve-field" in programs:
        configured = re.findall(r"^\s*add_path\s+/?(\S+)", read_file(root / "etc/astrometry.cfg"), re.MULTILINE)
        folders = {root / folder for folder in (*INDEXES, *configured)}
        count = sum(len(list(folder.glob("index-*.fits"))) for folder in folders)
        detail = f"{count} index files" if count else "no index files"
        yield CheckResult("solver.indexes", "ok" if count else "warn", detail, "" if count else hint)
    has_catalogue = any((root / folder / STAR_CATALOGUE).is_file() for folder in INDEXES)
    yield CheckResult(
        "solver.catalogue", "ok" if has_catalogue else "warn",
        "Tycho-2, to check solutions" if has_catalogue else "no Tycho-2 to check solutions",
        "" if has_catalogue else hint,
    )  # fmt: skip
