"""Code, help and documents are written in plain technical English.

A list of phrases that they do without.
"""

import pytest
from helpers.language import MAX_FIRST_LINE, findings, tracked


def test_no_phrase_of_the_list_is_used():
    """A single test reads all files: each fault names its file and line."""
    assert [fault for path in tracked() for fault in findings(path)] == []


@pytest.mark.parametrize("length", [MAX_FIRST_LINE, MAX_FIRST_LINE + 1])
def test_a_long_first_line_of_a_docstring_is_found(tmp_path, length):
    """A docstring begins with a short line; the details follow after an empty one."""
    path = tmp_path / "bad.py"
    path.write_text(f'def first():\n    """{"x" * length}\n\n    {"y" * 100}\n    """\n', encoding="utf-8")
    expected = f"{path}:2: {length} characters: write at most {MAX_FIRST_LINE}"
    assert findings(path) == ([expected] if length > MAX_FIRST_LINE else [])


def test_a_phrase_is_found(tmp_path):
    """The check itself must be able to fail."""
    path = tmp_path / "bad.py"
    path.write_text('"""Tell whether it is made anew."""\n', encoding="utf-8")
    assert len(findings(path)) == 2
