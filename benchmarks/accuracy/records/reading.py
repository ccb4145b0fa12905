"""Read saved results, whose values must have the types that their records state.

JSON of another version, or edited by hand, would otherwise fail while its page is written.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from ....training.run import RunError

_PLAIN = {float: (int, float), int: (int,), str: (str,), bool: (bool,), types.NoneType: (types.NoneType,)}


class Readable(Protocol):
    """A record that is read from plain values."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read plain values."""


Record = TypeVar("Record", bound=Readable)


def read_result(path: Path, record: type[Record], command: str) -> Record:
    """Read a saved result.

    Args:
        command: that saves such results, for the message.

    Raises:
        RunError: the file is damaged, or holds something else.
    """
    try:
        result = record.from_dict(json.loads(path.read_text(encoding="utf-8")))
        _check(result, record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is not a result of 'galaxy-edge {command}': {error!r}") from None
    return result


def _check(value: Any, expected: Any, name: str = "") -> None:
    """Check a value and all values in it.

    Args:
        value: what was read.
        expected: its annotation: a dataclass, a plain type, a mapping, a sequence, or a union of these.
        name: of the value, for the message.

    Raises:
        TypeError: a value has another type.
    """
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return
    if origin in (types.UnionType, typing.Union):
        if not any(_fits(value, choice, name) for choice in arguments):
            raise TypeError(f"'{name}' is {_short(value)}")
    elif dataclasses.is_dataclass(expected):
        hints = typing.get_type_hints(expected)
        if not isinstance(value, typing.cast(type, expected)):
            raise TypeError(f"'{name}' is {_short(value)}")
        for field in dataclasses.fields(expected):
            _check(getattr(value, field.name), hints[field.name], field.name)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError(f"'{name}' is {_short(value)}")
        for key, item in value.items():
            _check(item, arguments[1], f"{name}.{key}")
    elif isinstance(origin, type) and issubclass(origin, Sequence):
        if not isinstance(value, list | tuple):
            raise TypeError(f"'{name}' is {_short(value)}")
        for item in value:
            _check(item, arguments[0], name)
    elif not isinstance(value, _PLAIN[expected]) or (isinstance(value, bool) and expected is not bool):
        raise TypeError(f"'{name}' is {_short(value)}")


def _fits(value: Any, expected: Any, name: str) -> bool:
    try:
        _check(value, expected, name)
    except TypeError:
        return False
    return True


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
