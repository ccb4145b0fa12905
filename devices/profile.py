"""Device profiles: how to run a model on a type of computer, one TOML file per type."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from .engines import ENGINE_NAMES
from .toml_lines import did_you_mean, find_line


class ProfileError(UserError):
    """A profile that does not exist or is invalid; the message names the file, the line and the key."""

    exit_code = 2


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
        notes: remarks for the user.
    """

    name: str
    title: str
    machine: tuple[str, ...]
    engine: str
    threads: int
    verified: bool
    model_contains: str = ""
    notes: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary that can be written as JSON."""
        return {**dataclasses.asdict(self), "machine": list(self.machine)}


_KEY_TYPES = {
    "name": "a string", "title": "a string", "machine": "a list of strings", "engine": "a string",
    "threads": "a whole number", "verified": "true or false", "model_contains": "a string", "notes": "a string",
}  # fmt: skip
_OPTIONAL_KEYS = frozenset(
    field.name for field in dataclasses.fields(Profile) if field.default is not dataclasses.MISSING
)


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
    return _read(shipped[name])


def all_profiles() -> list[Profile]:
    """Return the shipped profiles, sorted by name."""
    return [_read(path) for path in _shipped_files().values()]


def _shipped_files() -> dict[str, Path]:
    folder = Path(__file__).with_name("profiles")
    files = {path.stem: path for path in folder.iterdir() if path.suffix == ".toml"}
    return dict(sorted(files.items()))


def _read(path: Path) -> Profile:
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
    for key, value in table.items():
        where = f"{path}{find_line(text, (key,))}"
        if key not in _KEY_TYPES:
            hint = did_you_mean(key, _KEY_TYPES)
            raise ProfileError(f"{where}: unknown key '{key}'{hint}; known: {', '.join(_KEY_TYPES)}")
        if not _has_type(value, _KEY_TYPES[key]):
            raise ProfileError(f"{where}: '{key}' must be {_KEY_TYPES[key]}, not {value!r}")
    missing = [key for key in _KEY_TYPES if key not in table and key not in _OPTIONAL_KEYS]
    if missing:
        raise ProfileError(f"{path}: missing {', '.join(missing)}")
    if table["engine"] not in ENGINE_NAMES:
        where = f"{path}{find_line(text, ('engine',))}"
        hint = did_you_mean(table["engine"], ENGINE_NAMES)
        raise ProfileError(f"{where}: unknown engine '{table['engine']}'{hint}; known: {', '.join(ENGINE_NAMES)}")
    if table["threads"] < 1:
        where = f"{path}{find_line(text, ('threads',))}"
        raise ProfileError(f"{where}: 'threads' must be at least 1, not {table['threads']}")
    return Profile(**{**table, "machine": tuple(table["machine"])})


def _has_type(value: object, type_name: str) -> bool:
    if type_name == "a list of strings":
        return isinstance(value, list) and bool(value) and all(isinstance(entry, str) for entry in value)
    if type_name == "true or false":
        return isinstance(value, bool)
    if type_name == "a whole number":
        return isinstance(value, int) and not isinstance(value, bool)  # in Python a bool is an int
    return isinstance(value, str)
