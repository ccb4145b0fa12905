"""A folder of images to run over."""

import pytest
from helpers.images import encode, render


@pytest.fixture
def night(tmp_path):
    """Three images: one blob, none, and two."""
    folder = tmp_path / "night"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(render([(60, 40, 12)], 160, 120)))
    (folder / "b.png").write_bytes(encode(render([], 160, 120)))
    (folder / "c.png").write_bytes(encode(render([(30, 30, 10), (120, 80, 10)], 160, 120)))
    return folder
