"""Docstrings begin with a short line, all that lists and help texts show."""

import ast

import pytest
from helpers.language import ROOT, tracked

MAX_LENGTH = 79
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def long_first_lines(source, name):
    """Return ``NAME:LINE: LENGTH`` of each docstring that begins with a long line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        first = ((isinstance(node, DOCUMENTED) and ast.get_docstring(node)) or "").split("\n")[0]
        if len(first) > MAX_LENGTH:
            found.append(f"{name}:{node.body[0].lineno}: {len(first)} characters")
    return found


def test_first_lines_are_short():
    """The details follow after an empty line."""
    paths = [path for path in tracked() if path.suffix == ".py"]
    assert len(paths) > 500
    faults = [fault for path in paths for fault in long_first_lines(path.read_text("utf-8"), path.relative_to(ROOT))]
    assert faults == []


@pytest.mark.parametrize("length", [MAX_LENGTH, MAX_LENGTH + 1])
def test_a_long_line_is_found(length):
    """The check itself must be able to fail."""
    source = f'def first():\n    """{"x" * length}\n\n    More.\n    """\n'
    assert long_first_lines(source, "a.py") == ([] if length == MAX_LENGTH else [f"a.py:2: {length} characters"])
