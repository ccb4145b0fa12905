"""The plate solvers in the order in which they are tried."""

from __future__ import annotations

from ...errors import UsageError
from .astap import Astap
from .astrometry_net import AstrometryNet
from .seiza import Seiza
from .solver import Solver

INSTALL = "sudo apt install astrometry.net astrometry-data-tycho2"
"""The command that installs the first solver, with its index files."""
SOLVERS: tuple[Solver, ...] = (AstrometryNet(), Seiza(), Astap())


def usable_solvers() -> list[Solver]:
    """Return the solvers that are installed completely."""
    return [solver for solver in SOLVERS if not solver.missing()]


def why_none() -> str:
    """Return why no solver can be used."""
    reasons = [reason for solver in SOLVERS if (reason := solver.missing())]
    incomplete = [reason for reason in reasons if not reason.endswith("is not installed")]
    return incomplete[0] if incomplete else "no plate solver is installed"


def check_solvers() -> None:
    """Check that a solver can be used.

    Raises:
        UsageError: none can; the message says how to install one.
    """
    if not usable_solvers():
        raise UsageError(f"{why_none()}; install one: {INSTALL}")
