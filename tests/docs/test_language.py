"""Code, help and documents are written in plain technical English: a list of phrases that they do without."""

import pytest
from helpers.language import ROOT, findings, tracked


@pytest.mark.parametrize("path", tracked(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_phrase_of_the_list_is_used(path):
    assert findings(path) == []


def test_a_phrase_is_found(tmp_path):
    """The check itself must be able to fail."""
    path = tmp_path / "bad.py"
    path.write_text('"""Tell whether it is made anew."""\n', encoding="utf-8")
    assert len(findings(path)) == 2
