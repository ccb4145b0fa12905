"""docs/export.md, as a user follows it.

Every command in it is run, in order, in one folder.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.images import encode, render
from helpers.paths import ROOT

TEXT = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S) for line in block.splitlines()]


@pytest.mark.slow
def test_every_command_works(tiny_runs, tmp_path):
    (tmp_path / "runs").symlink_to(tiny_runs)
    (tmp_path / "labels.txt").write_text("galaxy\n")
    (tmp_path / "pictures").mkdir()
    for number in range(8):
        image = render([(20 + 3 * number, 30, 6)], 64, 64, level=30.0 * number)
        (tmp_path / "pictures" / f"{number}.png").write_bytes(encode(image))
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    assert len(COMMANDS) >= 12
    for line in COMMANDS:
        done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=600)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    assert "| postprocess | litert |" in (tmp_path / "forms.md").read_text()


def test_its_tables_name_what_there_is():
    from galaxy_edge.export.settings import FORMATS, METHODS

    for name, form in FORMATS.items():
        assert f"| `{name}` | `{form.file}` |" in TEXT
    assert all(f"`{method}`" in TEXT for method in METHODS)
