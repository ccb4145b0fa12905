"""Run the command line, as a user does or in this process."""

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

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


def rest_of(process, timeout=60):
    """Return what a process prints until it ends; kill it after a time.

    Of both streams and, unlike `communicate`, with the lines that `readline` has read ahead. `timeout` is in seconds.
    """
    limit = threading.Timer(timeout, process.kill)
    limit.start()
    with process:
        rest, errors = process.stdout.read(), process.stderr.read()
    limit.cancel()
    return rest, errors


def galaxy_edge_in_process(*arguments, env=None, cwd=None):
    """Run the command line in this process; return what `galaxy_edge` returns of it.

    It takes milliseconds, where a process of its own imports everything again. For commands that leave nothing behind
    in the process: not for `run`, which handles signals and starts threads.
    """
    from galaxy_edge.cli.main import main

    command, code, hook = ["galaxy-edge", *map(str, arguments)], 0, threading.excepthook
    with (
        mock.patch.dict(os.environ, env or {}),
        mock.patch.object(sys, "argv", command),
        contextlib.chdir(cwd or Path.cwd()),
        CliRunner().isolation() as (stdout, stderr, _),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            threading.excepthook = hook
            sys.stdout.flush()
            sys.stderr.flush()
        return SimpleNamespace(returncode=code, stdout=stdout.getvalue().decode(), stderr=stderr.getvalue().decode())
