"""A space of networks: the choices, the network of a choice, and its cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..cost import Cost


class Network(Protocol):
    """The description of a network that is not built yet."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        ...


@dataclass(frozen=True)
class Space:
    """A space of networks.

    Attributes:
        choices: possible values by name: a range is ordered, a tuple is not.
        start: the first choice of a search, a hand-made design.
        network: returns the network of a choice, i.e. of one value for every name.
        cost: returns the cost of a network with a number of outputs, without building it.
        score: key and title of the score on validation images, 0..1.
        columns: titles of the cells that `describe` returns.
        describe: returns the cells of a table row for a network, given as plain values.
        use: command that trains the picked network, for a message.
    """

    choices: Mapping[str, Sequence[Any]]
    start: Mapping[str, Any]
    network: Callable[[Mapping[str, Any]], Any]
    cost: Callable[[Any, int], Cost]
    score: tuple[str, str]
    columns: tuple[str, ...]
    describe: Callable[[dict[str, Any]], tuple[str, ...]]
    use: str

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the choices, which identifies the space."""
        return hashlib.sha256(
            json.dumps({name: list(values) for name, values in self.choices.items()}).encode()
        ).hexdigest()
