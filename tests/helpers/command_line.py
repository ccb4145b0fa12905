"""The command line in a process of its own, as a user runs it."""

import os
import subprocess
import sys


def galaxy_edge(*arguments, env=None, cwd=None, timeout=300):
    """Run the command line in a process of its own, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "galaxy_edge", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
