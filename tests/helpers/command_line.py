"""Run the command line, as a user does or in this process."""

import os
import subprocess
import sys
from types import SimpleNamespace

from click.testing import CliRunner


def galaxy_edge(*arguments, env=None, cwd=None, timeout=300):
    """Run the command line in its own process, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "galaxy_edge", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )


def galaxy_edge_in_process(*arguments):
    """Run the command line in this process, which takes milliseconds; return what `galaxy_edge` returns of it."""
    from galaxy_edge.cli.main import cli
    from galaxy_edge.errors import UserError

    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    code, errors = result.exit_code, result.stderr
    if isinstance(result.exception, UserError):  # as `main` prints it
        code, errors = result.exception.exit_code, f"{errors}galaxy-edge: {result.exception}\n"
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(returncode=code, stdout=result.stdout, stderr=errors)
