"""Who may import whom: no room imports from a floor above it, none from each other in a circle, no TensorFlow at run time."""

import ast
import subprocess
import sys

import pytest
from helpers.imports import FLOORS, SUB_FLOORS, floor_of, imported, modules
from helpers.paths import ROOT

HEAVY = {"tensorflow", "keras", "official", "tf_keras", "onnx", "tf2onnx"}
MODULES = modules()


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_the_floors(module):
    room, *inside = module.split(".")
    for target in imported(module, MODULES[module], MODULES):
        other, *beyond = target.split(".") if target else [""]
        if other != room and (high := floor_of(other, FLOORS)) is not None:
            assert high < floor_of(room, FLOORS), f"{module} imports {target}"
        elif other == room and room in SUB_FLOORS and inside and beyond and inside[0] != beyond[0]:
            here, there = (floor_of(name[0], SUB_FLOORS[room]) for name in (inside, beyond))
            assert here is not None and there is not None, f"{inside[0]} or {beyond[0]} has no floor"
            assert there < here, f"{module} imports {target}"


@pytest.mark.parametrize("module", MODULES)
def test_imports_between_rooms_are_relative_and_light(module):
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        for name in names:
            assert name.split(".")[0] != "galaxy_edge"
            assert name.split(".")[0] not in HEAVY or module.split(".")[0] not in ("runtime", "models", "devices")


def test_no_import_circle():
    arrows = {
        module: set(imported(module, path, MODULES)) & set(MODULES) - {module} for module, path in MODULES.items()
    }
    while leaves := {module for module, out in arrows.items() if not out}:
        arrows = {module: out - leaves for module, out in arrows.items() if module not in leaves}
    while roots := set(arrows) - set().union(*arrows.values(), set()):
        arrows = {module: out for module, out in arrows.items() if module not in roots}
    assert arrows == {}, "these import each other in a circle"


def test_folders_and_files_stay_small():
    """What is read at a sitting: at most 20 modules a folder and 300 lines a file."""
    for folder in {path.parent for path in MODULES.values()}:
        assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 20, folder
    long = {
        path.relative_to(ROOT).as_posix(): count
        for path in (*MODULES.values(), *(ROOT / "tests").rglob("*.py"))
        if (count := len(path.read_text().splitlines())) > 300
    }
    assert long == {}


def test_the_command_line_starts_without_anything_heavy():
    script = "import sys, galaxy_edge.cli.main; print([m for m in ('numpy', 'cv2', 'tensorflow', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_stay_small():
    """At most 50 lines and 8 parameters, or a comment in it or above it that says why not."""
    long = []
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            parameters = [argument for argument in named if argument.arg not in ("self", "cls")]
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            reason = any("# Long because" in line or "# Many parameters because" in line
                         for line in lines[max(0, first - 3) : node.end_lineno])  # fmt: skip
            if (node.end_lineno - node.lineno >= 50 or len(parameters) > 8) and not reason:
                long.append(f"{module}.{node.name}")
    assert long == []
