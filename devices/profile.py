"""Device profiles: how to run a model on a type of computer.

Each type has one TOML file.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from .engines import ENGINE_NAMES
from .toml_lines import did_you_mean, find_line


class ProfileError(UserError):
    """A profile that does not exist or is invalid.

    The message names the file, the line and the key.
    """

    exit_code = 2


EVIDENCE = ("hardware", "emulation", "public figure")
"""What a claim about a device rests on: measured on the device, in an emulator, or published by others."""


@dataclass(frozen=True)
class Claim:
    """A statement about a device.

    Attributes:
        text: the statement.
        evidence: one of `EVIDENCE`.
        source: the command or publication that it comes from.
    """

    text: str
    evidence: str
    source: str


@dataclass(frozen=True)
class Profile:
    """How to run a model on a type of computer.

    Attributes:
        name: short name, as on the command line.
        title: descriptive name.
        machine: values of ``platform.machine()`` on such a computer, e.g. ``("aarch64",)``.
        engine: one of `devices.engines.ENGINE_NAMES`.
        threads: threads per inference, at least 1.
        verified: whether the project has been tested on such a machine.
        model_contains: part of the board's model string, or "" for any board.
        accelerator: devices of which one must be attached: ``usb:VENDOR:PRODUCT``, ``pci:VENDOR:DEVICE`` or
            ``i2c:NAME``; empty if none is needed.
        fallback: engines to use, in this order, if `engine` is not usable.
        tiles, stack: defaults of ``run --tiles`` and ``run --stack``.
        memory: MiB that a run may use at most; 0 for no limit. The service is restarted above it; an image may take
            a quarter of it; a run warns above it.
        throttle: processor temperature in degrees Celsius at which the device slows down, and a run warns; 0 if
            unknown.
        quota: default of ``run --quota`` in MiB.
        network: default of ``run --size``, one of `models.sizes.SIZES`; a run uses ``small`` if it is not installed.
        sources: kinds of sources that the device has drivers for.
        claims: what is known about the device.
        notes: remarks for the user.
    """

    name: str
    title: str
    machine: tuple[str, ...]
    engine: str
    threads: int
    verified: bool
    model_contains: str = ""
    accelerator: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    tiles: str = "auto"
    stack: int = 1
    memory: int = 0
    throttle: int = 0
    quota: int = 2048
    network: str = "small"
    sources: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    notes: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary that can be written as JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


_KEY_TYPES = {
    "name": "a string", "title": "a string", "machine": "a list of strings", "engine": "a string",
    "threads": "a whole number", "verified": "true or false", "model_contains": "a string",
    "accelerator": "a list of strings", "fallback": "a list of strings", "tiles": "a string",
    "stack": "a whole number", "memory": "a whole number", "throttle": "a whole number", "quota": "a whole number",
    "network": "a string",
    "sources": "a list of strings", "claims": "a list of tables", "notes": "a string",
}  # fmt: skip
_OPTIONAL_KEYS = frozenset(
    field.name for field in dataclasses.fields(Profile) if field.default is not dataclasses.MISSING
)
_SIZES = ("nano", "small", "base")  # models.sizes.SIZES, which no start imports
_RANGES = {"threads": (1, 1024), "stack": (1, 64), "memory": (0, 2**24), "throttle": (0, 150), "quota": (0, 2**30)}


def load_profile(name_or_path: str | Path) -> Profile:
    """Load a profile.

    Args:
        name_or_path: the name of a shipped profile, e.g. ``raspberry-pi-5``, or the path of a TOML file (a `Path`, or
            a string that ends in ``.toml`` or contains a ``/``).

    Raises:
        ProfileError: there is no such profile; it is not TOML; a key is unknown, missing or of the wrong type.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, Path) or name.endswith(".toml") or "/" in name:
        return _read(Path(name_or_path))
    shipped = _shipped_files()
    if name not in shipped:
        raise ProfileError(f"there is no profile '{name}'{did_you_mean(name, shipped)}; known: {', '.join(shipped)}")
    return _read_once(shipped[name])


def all_profiles() -> list[Profile]:
    """Return the shipped profiles, sorted by name."""
    return [_read_once(path) for path in _shipped_files().values()]


@cache
def _read_once(path: Path) -> Profile:
    return _read(path)


def _shipped_files() -> dict[str, Path]:
    folder = Path(__file__).with_name("profiles")
    files = {path.stem: path for path in folder.iterdir() if path.suffix == ".toml"}
    return dict(sorted(files.items()))


def _read(path: Path) -> Profile:
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ProfileError(f"{path}: is not UTF-8 text") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{path}: is not valid TOML: {error}") from None

    def where(key: str) -> str:
        return f"{path}{find_line(text, (key,))}"

    for key, value in table.items():
        if key not in _KEY_TYPES:
            hint = did_you_mean(key, _KEY_TYPES)
            raise ProfileError(f"{where(key)}: unknown key '{key}'{hint}; known: {', '.join(_KEY_TYPES)}")
        if not _has_type(value, _KEY_TYPES[key]):
            raise ProfileError(f"{where(key)}: '{key}' must be {_KEY_TYPES[key]}, not {value!r}")
    missing = [key for key in _KEY_TYPES if key not in table and key not in _OPTIONAL_KEYS]
    if missing:
        raise ProfileError(f"{path}: missing {', '.join(missing)}")
    for key in ("engine", "fallback"):
        for engine in [table[key]] if key == "engine" else table.get(key, []):
            if engine not in ENGINE_NAMES:
                hint = did_you_mean(engine, ENGINE_NAMES)
                raise ProfileError(f"{where(key)}: unknown engine '{engine}'{hint}; known: {', '.join(ENGINE_NAMES)}")
    for key, (low, high) in _RANGES.items():
        if not low <= table.get(key, low) <= high:
            limit = f"at least {low}" if table[key] < low else f"at most {high}"
            raise ProfileError(f"{where(key)}: '{key}' must be {limit}, not {table[key]}")
    if not re.fullmatch(r"auto|off|[1-9]\d?x[1-9]\d?", table.get("tiles", "auto")):
        raise ProfileError(f"{where('tiles')}: 'tiles' must be auto, off or NxM, e.g. 3x2, not '{table['tiles']}'")
    if table.get("network", "small") not in _SIZES:
        raise ProfileError(f"{where('network')}: 'network' must be {', '.join(_SIZES)}, not '{table['network']}'")
    claims = tuple(_read_claim(claim, where) for claim in table.get("claims", []))
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Profile(**values | {"claims": claims})


def _read_claim(claim: dict[str, Any], where: Callable[[str], str]) -> Claim:
    names = [field.name for field in dataclasses.fields(Claim)]
    if sorted(claim) != sorted(names) or not all(isinstance(value, str) and value for value in claim.values()):
        raise ProfileError(f"{where('claims')}: a claim must have the texts {', '.join(names)}, not {claim}")
    if claim["evidence"] not in EVIDENCE:
        evidence = f"{', '.join(EVIDENCE)}, not '{claim['evidence']}'"
        raise ProfileError(f"{where('claims')}: the evidence of a claim must be {evidence}")
    return Claim(**claim)


def _has_type(value: object, type_name: str) -> bool:
    if type_name == "a list of strings":
        return isinstance(value, list) and bool(value) and all(isinstance(entry, str) for entry in value)
    if type_name == "a list of tables":
        return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
    if type_name == "true or false":
        return isinstance(value, bool)
    if type_name == "a whole number":
        return isinstance(value, int) and not isinstance(value, bool)  # in Python a bool is an int
    return isinstance(value, str)
