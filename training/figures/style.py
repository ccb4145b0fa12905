"""The common style of all figures, and how they are written.

The colours are those of Okabe and Ito (2008), which colour-blind readers can distinguish; lines also differ by their
dashes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UserError
from ...extras import extra_command
from ...files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8C8C8C"
LINES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (RED, ":"), ("#CC79A7", "-"), ("#56B4E9", "--"))
DPI = 120


class PlotError(UserError):
    """A figure that cannot be drawn or written; the message says why."""


def new_figure(width: float, height: float) -> Figure:
    """Create a figure of `width` x `height` inches.

    It does not use pyplot, which would keep the figure open globally.

    Raises:
        PlotError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise PlotError(f"figures are drawn by matplotlib: {extra_command('train')}") from None
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Set the labels of both axes, and the common grid and frame."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG atomically; the folder is created if missing.

    Raises:
        PlotError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as staged:
            # Without "tight", labels of a square matrix would exceed the margin of the constrained layout.
            figure.savefig(staged, format="png", bbox_inches="tight", pad_inches=0.12)
    except OSError as error:
        raise PlotError(f"{path} cannot be written: {error.strerror}") from None
