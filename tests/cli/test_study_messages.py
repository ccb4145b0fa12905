"""`galaxy-edge study`: error messages, and no messages of libraries."""

import os
import subprocess
import sys

from click.testing import CliRunner
from galaxy_edge.cli.main import cli


def test_seeds_must_be_numbers():
    """A typing error must not end in a traceback."""
    done = CliRunner().invoke(cli, ["study", "compare", "simple", "--seeds", "1,b", "--data", ".", "--out", "x"])
    assert done.exit_code == 2 and "whole numbers with commas" in done.output


def test_report_prints_no_messages_of_tensorflow(tmp_path):
    """The command does not use TensorFlow; its start-up messages would only confuse."""
    words = (
        sys.executable,
        "-m",
        "galaxy_edge",
        "study",
        "report",
        "--results",
        tmp_path,
        "--out",
        tmp_path / "page.md",
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and "written to" in done.stdout
