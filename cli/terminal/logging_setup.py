"""Print the package's log messages to stderr as ``galaxy-edge: MESSAGE``.

Every module logs to ``logging.getLogger(__name__)``. Only the command line installs a handler, on the logger
``galaxy_edge``, and stops propagation there: the logs of libraries (TensorFlow, uvicorn) are not printed, and a
program that imports the package configures logging itself.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable

import click

from ...runtime.system.address import printable_name

PACKAGE = "galaxy_edge"
LEVELS = ("debug", "info", "warning", "error")
DEFAULT_LEVEL = "info"
PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))
"""The syslog priority of each logging level, see sd-daemon(3)."""


class StderrHandler(logging.Handler):
    """Write each message as one line ``galaxy-edge: MESSAGE``.

    It goes to the current `sys.stderr`.

    Control characters, such as line breaks in the name of a file, are written as ``\\x0a``. Where stderr is the
    systemd journal, a line begins with its priority, e.g. ``<4>``.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; a traceback only follows at level debug."""
        try:
            line = f"{priority_prefix(record.levelno)}galaxy-edge: {printable_name(record.getMessage())}"
            if record.exc_info and logging.getLogger(PACKAGE).isEnabledFor(logging.DEBUG):
                line += "\n" + logging.Formatter().formatException(record.exc_info)
            click.echo(line, err=True)
        except OSError:
            pass  # stderr is closed or its disk is full: there is nowhere left to report that
        except (TypeError, ValueError):  # a message and arguments that do not fit
            self.handleError(record)


def configure_logging(level: str = DEFAULT_LEVEL) -> None:
    """Print the package's messages of `level` and above.

    `level` is one of `LEVELS`. May be called again to change the level.
    """
    logger = logging.getLogger(PACKAGE)
    logger.propagate = False
    logger.setLevel(level.upper())
    if not any(isinstance(handler, StderrHandler) for handler in logger.handlers):
        logger.addHandler(StderrHandler())


def log_like_this_process() -> Callable[[], None]:
    """Return a function that configures logging in a child process.

    It can be pickled and sets this process's level.
    """
    return functools.partial(configure_logging, logging.getLevelName(logging.getLogger(PACKAGE).getEffectiveLevel()))


def priority_prefix(level: int) -> str:
    """Return the prefix that gives a line its priority in the journal.

    It is empty where stderr is not the journal.
    """
    if not stderr_is_journal():
        return ""
    return next((f"<{priority}>" for minimum, priority in PRIORITIES if level >= minimum), "<7>")


def stderr_is_journal() -> bool:
    """Return whether stderr is connected to the systemd journal.

    The variable is ``JOURNAL_STREAM``, see systemd.exec(5).
    """
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, replaced by an object without a file, or None
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"
