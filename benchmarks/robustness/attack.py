"""The types of attacks on the README's promises, and how attacks are found.

An attack is one small module in a folder of `attacks` with a constant ``ATTACK``. It needs no other registration::

    from ...attack import Attack, Outcome

    def run(count: int, folder: Path) -> Outcome:
        lost = ...
        return Outcome({"rows": count, "lost": lost}, held=lost == 0)

    ATTACK = Attack(
        promise="An event that the event file refuses causes no other event to be lost.",
        method="{count} events, every third of which breaks a constraint",
        run=run, count=3000, small_count=30,
    )

``python -m galaxy_edge.benchmarks.robustness.table`` runs attacks with their full counts and writes the table;
``tests/benchmarks/robustness/test_attacks.py`` runs each with its small count.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class NotPossible(Exception):
    """An attack that cannot run on this machine.

    The text says what it needs, for example the right to mount a disk.
    """


@dataclass(frozen=True)
class Outcome:
    """The result of an attack.

    Attributes:
        figures: the worst case and the counts, by name as in the table (``lost``, ``worst_s``).
        held: whether the promise was kept.
    """

    figures: dict[str, int | float | str]
    held: bool


@dataclass(frozen=True)
class Attack:
    """A promise, and how it is attacked.

    Attributes:
        promise: one sentence, as in README.
        method: how it is attacked; ``{count}`` stands for the count.
        run: called with the count and an empty folder; raises `NotPossible` if the machine does not allow it.
        count: of the published table.
        small_count: of the tests, which must take seconds.
    """

    promise: str
    method: str
    run: Callable[[int, Path], Outcome]
    count: int
    small_count: int


def find_attacks() -> dict[str, Attack]:
    """Return every attack by its name, ``FOLDER/MODULE``, in the order of the names."""
    package = importlib.import_module(f"{__package__}.attacks")
    found = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.ispkg:
            attack = getattr(importlib.import_module(module.name), "ATTACK", None)
            if attack is not None:  # helpers of several attacks have none
                found["/".join(module.name.removeprefix(f"{package.__name__}.").split("."))] = attack
    return dict(sorted(found.items()))
