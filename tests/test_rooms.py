"""Who may import whom: a room imports only from rooms below it, and the device side never sees TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOOR = {"models": 1, "devices": 1, "training": 2, "export": 2, "runtime": 2, "benchmarks": 3, "cli": 4}
# Export runs what it gates through the runtime's own engine and reads the run folder; both are named in the design.
ALLOWED = {("export", "runtime"), ("export", "training")}
HEAVY = {"tensorflow", "keras", "official", "tf_keras", "onnx", "tf2onnx"}


def modules():
    for room in FLOOR:
        paths = ROOT.glob("cli*.py") if room == "cli" else (ROOT / room).rglob("*.py")
        yield from ((room, path) for path in sorted(paths))


def depth(room, path):
    """How many dots of a relative import lead to the root, from a file of a room."""
    return len(path.relative_to(ROOT).parts) if room != "cli" else 1


def imports(path):
    """Yield the dotted names a file imports, wherever in it; relative ones with their dots."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


@pytest.mark.parametrize(("room", "path"), list(modules()), ids=lambda value: str(value).removeprefix(f"{ROOT}/"))
def test_a_room_imports_only_from_rooms_below(room, path):
    for name in imports(path):
        assert not name.startswith("galaxy_edge"), "imports between rooms are relative"
        other = name.lstrip(".").split(".")[0]
        leaves = len(name) - len(name.lstrip(".")) == depth(room, path)
        if leaves and other in FLOOR and other != room:
            assert FLOOR[other] < FLOOR[room] or (room, other) in ALLOWED, f"{path.name} imports {name}"
        if room in ("runtime", "models", "devices"):
            assert name.split(".")[0] not in HEAVY


def test_the_command_line_starts_without_anything_heavy():
    script = "import sys, galaxy_edge.cli.main; print([m for m in ('numpy', 'cv2', 'tensorflow', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
