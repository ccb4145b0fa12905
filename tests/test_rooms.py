"""Rules for imports: none upwards, none in a circle, no TensorFlow at run time."""

import ast

import pytest
from helpers.imports import FLOORS, SUB_FLOORS, floor_of, imported, modules
from helpers.paths import ROOT

HEAVY = {"tensorflow", "keras", "official", "tf_keras", "onnx", "tf2onnx"}
MODULES = modules()
ROOMS = sorted({module.split(".")[0] for module in MODULES})


def modules_of(room):
    return [module for module in MODULES if module.split(".")[0] == room]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_down_the_floors(room):
    wrong = []
    for module in modules_of(room):
        inside = module.split(".")[1:]
        for target in imported(module, MODULES[module], MODULES):
            other, *beyond = target.split(".") if target else [""]
            if other != room:
                here, there = floor_of(room, FLOORS), floor_of(other, FLOORS)
                allowed = there is None or (here is not None and there < here)
            elif room in SUB_FLOORS and inside and beyond and inside[0] != beyond[0]:
                here, there = (floor_of(names[0], SUB_FLOORS[room]) for names in (inside, beyond))
                allowed = here is not None and there is not None and there < here
            else:
                allowed = True
            if not allowed:
                wrong.append(f"{module} (floor {here}) imports {target} (floor {there})")
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_imports_between_rooms_are_relative_and_light(room):
    wrong = []
    for module in modules_of(room):
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            packages = {name.split(".")[0] for name in names}
            if "galaxy_edge" in packages or (packages & HEAVY and room in ("runtime", "models", "devices", "sky")):
                wrong.append(f"{module}:{node.lineno} imports {', '.join(names)}")
    assert wrong == []


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


def test_functions_stay_small():
    """A function has at most 50 lines and 8 parameters, or a comment that says why."""
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
