"""What a search chooses from: the choices, the network that one of them names, and what it costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..cost import Cost


class Network(Protocol):
    """A network as it is described before it is built."""

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values."""
        ...


@dataclass(frozen=True)
class Space:
    """A space of networks.

    Attributes:
        choices: what may be chosen, by name: a range is ordered, a tuple is not.
        start: where a search begins: a design found by hand.
        network: makes a network of one value for every name.
        cost: prices a network with so many outputs, without building it.
        score: key and title of what is measured on validation pictures, 0..1.
        columns: titles of what `describe` tells.
        describe: tells a network's parts, from its plain values, for a table.
        use: how a network that was picked is trained, for a message.
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
        """SHA-256 (hex) of the choices, so that a search is not continued in another space."""
        return hashlib.sha256(
            json.dumps({name: list(values) for name, values in self.choices.items()}).encode()
        ).hexdigest()
