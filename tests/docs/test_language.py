"""Code, help and documents are written in plain technical English.

A list of phrases that they do without.
"""

from helpers.language import findings, tracked


def test_no_phrase_of_the_list_is_used():
    """A single test reads all files: each fault names its file and line."""
    assert [fault for path in tracked() for fault in findings(path)] == []


def test_a_phrase_is_found(tmp_path):
    """The check itself must be able to fail."""
    path = tmp_path / "bad.py"
    path.write_text('"""Tell whether it is made anew."""\n', encoding="utf-8")
    assert len(findings(path)) == 2
