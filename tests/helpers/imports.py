"""The import structure of the package, read from its source.

Floors, modules and who imports whom.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from helpers.paths import ROOT

FLOORS = (
    ("errors", "extras", "files"),
    ("models",),
    ("devices",),
    ("sky",),
    ("runtime",),
    ("training",),
    ("export",),
    ("benchmarks",),
    ("cli",),
)
"""From the ground up. Export runs what it gates through the runtime's engine and reads the training's run folder."""
SUB_FLOORS = {
    "runtime": (
        ("errors", "frame", "timing"),
        ("system",),
        ("imaging",),
        ("tracking", "inference", "sources", "astrometry"),
        ("events",),
        ("recording",),
        ("monitoring", "report", "watch"),
        ("pipeline", "web", "mqtt", "notify"),
        ("doctor", "run_config", "fleet", "frame_report"),
        ("open_sinks", "run_settings"),
        ("session",),
    ),
    "training": (
        ("run_checks",),
        ("run_record",),
        ("cost", "progress", "cache", "run", "threads", "keras_file", "normalisation"),
        ("data",),
        ("figures",),
        ("formats", "mobilenet"),
        ("scenes", "augmentation"),
        ("classifier", "detector"),
        ("study", "search"),
    ),
}
"""The floors inside the two large rooms, from the ground up."""


def modules() -> dict[str, Path]:
    """Return the dotted names and paths of all modules in rooms.

    Names are without ``galaxy_edge.``.
    """
    rooms = [name for floor in FLOORS for name in floor if (ROOT / name).is_dir()]
    return {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
        for room in rooms
        for path in sorted((ROOT / room).rglob("*.py"))
    }


def imported(module: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules that a file imports, wherever in it.

    Imports for type checkers only are left out.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and id(node) not in typing_only:
            base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            for alias in node.names:
                name = f"{base}.{alias.name}".lstrip(".")
                yield name if name in known else base


def floor_of(name: str, floors: tuple[tuple[str, ...], ...]) -> int | None:
    """Return the number of the floor that a room is on; None for what is not a room."""
    return next((number for number, names in enumerate(floors) if name in names), None)
