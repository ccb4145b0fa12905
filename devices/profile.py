"""Device profiles: how to run a model on a kind of computer, one TOML file a kind."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ..errors import UserError
from .engines import ENGINE_NAMES


class ProfileError(UserError):
    """A profile that does not exist or cannot be used; the message names the file, the line and the key."""

    exit_code = 2


@dataclass(frozen=True)
class Profile:
    """How to run a model on a kind of computer.

    Attributes:
        name: short name, as on a command line.
        title: name for people.
        machine: what ``platform.machine()`` says there, e.g. ``("aarch64",)``.
        engine: one of `devices.engines.ENGINE_NAMES`.
        threads: threads an inference uses, at least 1.
        verified: whether the project has been run on such a machine.
        model_contains: part of the board's model string, or "" for any board.
        notes: what a user should know.
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
        """Turn into a dictionary that can be written as JSON."""
        return {**dataclasses.asdict(self), "machine": list(self.machine)}


_WANTED = {
    "name": "a text", "title": "a text", "machine": "a list of texts", "engine": "a text", "threads": "a whole number",
    "verified": "true or false", "model_contains": "a text", "notes": "a text",
}  # fmt: skip
_OPTIONAL = frozenset(f.name for f in dataclasses.fields(Profile) if f.default is not dataclasses.MISSING)


def load_profile(name_or_path: str | Path) -> Profile:
    """Read a profile.

    Args:
        name_or_path: the name of a shipped profile, e.g. ``raspberry-pi-5``, or the path of a TOML file (a `Path`, or
            a text that ends in ``.toml`` or has a ``/``).

    Raises:
        ProfileError: there is no such profile; it is not TOML; a key is unknown, missing or of the wrong type.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text:
        return _read(Path(name_or_path))
    shipped = _shipped()
    if text not in shipped:
        raise ProfileError(f"there is no profile '{text}'{_suggest(text, shipped)}; known: {', '.join(shipped)}")
    return _read(shipped[text])


def all_profiles() -> list[Profile]:
    """Read the shipped profiles, by name."""
    return [_read(place) for place in _shipped().values()]


def _shipped() -> dict[str, Traversable]:
    folder = resources.files("galaxy_edge.devices") / "profiles"
    places = {place.name.removesuffix(".toml"): place for place in folder.iterdir() if place.name.endswith(".toml")}
    return dict(sorted(places.items()))


def _read(place: Traversable | Path) -> Profile:
    try:
        text = place.read_text(encoding="utf-8")
    except OSError as problem:
        raise ProfileError(f"{place}: cannot be read ({problem.strerror})") from None
    except UnicodeDecodeError:
        raise ProfileError(f"{place}: is not UTF-8 text") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ProfileError(f"{place}: is not valid TOML: {problem}") from None
    for key, value in table.items():
        where = f"{place}{_line(text, key)}"
        if key not in _WANTED:
            raise ProfileError(f"{where}: unknown key '{key}'{_suggest(key, _WANTED)}; known: {', '.join(_WANTED)}")
        if not _fits(value, _WANTED[key]):
            raise ProfileError(f"{where}: '{key}' must be {_WANTED[key]}, not {value!r}")
    missing = [key for key in _WANTED if key not in table and key not in _OPTIONAL]
    if missing:
        raise ProfileError(f"{place}: missing {', '.join(missing)}")
    if table["engine"] not in ENGINE_NAMES:
        where = f"{place}{_line(text, 'engine')}"
        hint = _suggest(table["engine"], ENGINE_NAMES)
        raise ProfileError(f"{where}: unknown engine '{table['engine']}'{hint}; known: {', '.join(ENGINE_NAMES)}")
    if table["threads"] < 1:
        raise ProfileError(f"{place}{_line(text, 'threads')}: 'threads' must be at least 1, not {table['threads']}")
    return Profile(**{**table, "machine": tuple(table["machine"])})


def _fits(value: object, wanted: str) -> bool:
    if wanted == "a list of texts":
        return isinstance(value, list) and bool(value) and all(isinstance(entry, str) for entry in value)
    if wanted == "true or false":
        return isinstance(value, bool)
    if wanted == "a whole number":
        # A bool is an int to Python, but not to a reader of the file.
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)


def _line(text: str, key: str) -> str:
    """Find where a top-level key or table is written, as ``:line``; empty when it is written in an unusual way."""
    quoted = rf"[\"']?{re.escape(key)}[\"']?"
    found = re.search(rf"^[ \t]*(?:{quoted}[ \t]*[=.]|\[+[ \t]*{quoted})", text, re.MULTILINE)
    return f":{text.count(chr(10), 0, found.start()) + 1}" if found else ""


def _suggest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
