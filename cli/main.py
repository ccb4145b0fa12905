"""The command line: one thin command a verb. No logic lives here, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import codecs
import errno
import io
import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import click

from .. import __version__
from ..errors import UserError, disk_is_full
from .bench import bench
from .bundle import bundle
from .config import config as config_group
from .data import data
from .devices import devices
from .evaluate import evaluate
from .events import events
from .export import export
from .logging_setup import DEFAULT_LEVEL, LEVELS, configure_logging, priority_prefix
from .options import FILE
from .run import run
from .settings import name_variables, settings_for
from .study import explain, study
from .train import train

logger = logging.getLogger(__name__)


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
    }
)
@click.version_option(__version__, prog_name="galaxy-edge")
@click.option("--config", type=FILE, help="File of settings; default: galaxy-edge.toml, where there is one.")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default=DEFAULT_LEVEL,
    show_default=True,
    help="Print messages of this level and above to stderr.",
)
@click.option("--quiet", is_flag=True, help="Print warnings and errors only: no remarks, no progress.")
@click.pass_context
def cli(context: click.Context, config: Path | None, log_level: str, quiet: bool) -> None:
    """Find and name galaxies on small computers at telescopes.

    Every option can also be set in galaxy-edge.toml (galaxy-edge config init writes one) and by an environment
    variable: GALAXY_EDGE_RUN_THREADS=2 is run --threads 2.
    """
    if context.invoked_subcommand != "config":
        context.default_map = settings_for(context, config)
        log_level, quiet = (_setting(context, name) for name in ("log_level", "quiet"))
    if quiet and log_level != "error":
        log_level = "warning"
    configure_logging(log_level)


def _setting(context: click.Context, name: str) -> Any:
    """Return an option of the root command: as given, else as in the settings file, else its default."""
    given = context.params[name]
    from_file = context.default_map.pop(name, given) if isinstance(context.default_map, dict) else given
    return from_file if context.get_parameter_source(name) is click.core.ParameterSource.DEFAULT else given


for command in (run, bench, devices):
    cli.add_command(command)
cli.add_command(train)
cli.add_command(study)
cli.add_command(explain)
cli.add_command(data)
cli.add_command(evaluate)
cli.add_command(export)
cli.add_command(bundle)
cli.add_command(events)
cli.add_command(config_group)


name_variables(cli)


def _open_closed_streams() -> None:
    """Open nothing in the place of streams that the caller closed (``>&-``); else our own files take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _escape(problem: UnicodeError) -> tuple[str, int]:
    """Write signs that an encoding lacks as JSON does (``\\u00e9``), so that a line of JSON stays one."""
    assert isinstance(problem, UnicodeEncodeError)
    return json.dumps(problem.object[problem.start : problem.end])[1:-1], problem.end


def _print_in_any_encoding() -> None:
    """Let no sign in a name end a command whose standard output is not UTF-8; standard error is so by default."""
    codecs.register_error("galaxy-edge", _escape)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="galaxy-edge")


def _fail(message: str, code: int) -> NoReturn:
    prefix = priority_prefix(logging.ERROR)
    click.echo(prefix + f"galaxy-edge: {message}".replace("\n", f"\n{prefix}"), err=True)
    raise SystemExit(code)


REFUSALS = frozenset({errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EIO})
"""What a disk says for reasons that are the user's to see to, not ours."""


HINT = "set GALAXY_EDGE_DEBUG=1 to see where, and please report it"


def _tell_of_thread(failed: threading.ExceptHookArgs) -> None:
    """Say in a line that a thread of the program, or of a library, has ended."""
    name = failed.thread.name if failed.thread else "unknown"
    logger.error(f"unexpected {failed.exc_type.__name__} in the thread {name}: {failed.exc_value} ({HINT})")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 the work failed, 2 wrong use, 130 interrupted."""
    _open_closed_streams()
    _print_in_any_encoding()
    configure_logging()
    if not os.environ.get("GALAXY_EDGE_DEBUG"):
        threading.excepthook = _tell_of_thread
    # OpenCV reads these when it is imported; its complaints would stand beside our own clear line.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        cli.main(prog_name="galaxy-edge", standalone_mode=False)
    except click.ClickException as problem:
        problem.show()
        raise SystemExit(problem.exit_code) from None
    except (KeyboardInterrupt, click.Abort):
        click.echo("galaxy-edge: interrupted", err=True)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Whoever read our output has had enough, as in `| head`; keep Python from flushing into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except UserError as problem:
        _fail(str(problem), problem.exit_code)
    except Exception as problem:  # the last line of defence: no traceback reaches a user
        if os.environ.get("GALAXY_EDGE_DEBUG"):
            raise
        if disk_is_full(problem):
            _fail("the disk is full: make room, then give the same command again, where it has one with --resume", 1)
        if isinstance(problem, OSError) and problem.errno in REFUSALS:
            _fail(f"{problem.filename or 'a file'} cannot be written or read: {problem.strerror}", 1)
        _fail(f"unexpected {type(problem).__name__}: {problem} ({HINT})", 1)
