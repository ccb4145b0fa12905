"""The command line: one thin command for each verb.

Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import codecs
import io
import json
import logging
import os
import re
import sys
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, NoReturn

import click

from .. import __version__
from ..errors import UserError, explain_refusal
from ..runtime.system.address import printable_name, redact_credentials
from .command_groups import LazyCommands
from .options import FILE
from .settings import name_variables, settings_for
from .terminal.logging_setup import DEFAULT_LEVEL, LEVELS, configure_logging, priority_prefix
from .terminal.quick_exit import exit_if_requested

logger = logging.getLogger(__name__)

GROUPS = {
    "At the telescope": {
        "run": "Detect, crop and classify galaxies in images of a source.",
        "devices": "Show this machine and its cameras; device profiles.",
        "events": "List, look up, export, prune and back up events.",
        "sky.view": "Show the results of runs in a browser.",
        "sky.report": "Write one HTML page of a night.",
        "sky.solve": "Find where images are on the sky, write FITS with WCS.",
        "station.notify": "Send a test notification.",
        "config": "Show, check and create galaxy-edge.toml.",
    },
    "If something is wrong": {
        "station.doctor": "Check engines, cameras, disk, clock and networks.",
        "station.report_frame": "Pack a bad frame for a report, without places.",
    },
    "Every night, on one device or many": {
        "station.service": "Start at boot, under systemd.",
        "remote.wheelhouse": "Collect the wheels for an installation on a device.",
        "remote.deploy": "Install a release on devices over ssh.",
        "remote.fleet": "Watch all stations of an MQTT broker.",
    },
    "Networks of your own": {
        "networks.models": "List the sizes of the networks.",
        "data": "Convert, check, split and preview labelled images.",
        "train": "Train a network on a workstation.",
        "export": "Make a bundle of a run or of a third-party network.",
        "networks.bundle": "Describe, compare, sign and verify model bundles.",
        "study": "Train, compare and evaluate galaxy classifiers.",
    },
    "Measure": {
        "bench": "Measure latency; compare desktop and device.",
        "evaluate": "Measure bundles on labelled images.",
        "explain": "Show which parts of images a network uses.",
        "sky.simulate": "Simulate a night of raw frames with known truth.",
    },
}
"""Modules of the commands, by heading, with their lines in the help, for which none of them is imported.

Each module has a command of the last part of its name.
"""
COMMANDS = [module for modules in GROUPS.values() for module in modules]


def _command_name(module: str) -> str:
    return "eval" if module == "evaluate" else module.rpartition(".")[2].replace("_", "-")


class ListedGroup(click.Group):
    """A group that lists its commands without importing them."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, by what they are for."""
        for heading, modules in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(_command_name(module), line) for module, line in modules.items()], col_max=14)


@click.group(
    cls=ListedGroup,
    commands=LazyCommands({_command_name(name): f"{__package__}.{name}" for name in COMMANDS}, name_variables),
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
    },
)
@click.version_option(__version__, "-V", "--version", prog_name="galaxy-edge")
@click.option(
    "--config", type=FILE, envvar=["GALAXY_EDGE_CONFIG"], help="Settings file; default: galaxy-edge.toml, if it exists."
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default=DEFAULT_LEVEL,
    envvar=["GALAXY_EDGE_LOG_LEVEL"],
    show_default=True,
    help="Print messages of this level and above to stderr.",
)
@click.option(
    "--quiet",
    is_flag=True,
    envvar=["GALAXY_EDGE_QUIET"],
    help="Print warnings and errors only: no information, no progress.",
)
@click.pass_context
def cli(context: click.Context, config: Path | None, log_level: str, quiet: bool) -> None:
    """Find and name galaxies on small computers at telescopes.

    \b
    Begin with: galaxy-edge run --camera demo --serve 8080
    Then: galaxy-edge devices, and galaxy-edge run --camera CAMERA
    Options and examples of a command: galaxy-edge COMMAND --help

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
    """Return an option of the root command.

    It is the value on the command line, in the settings file, or the default.
    """
    given = context.params[name]
    from_file = context.default_map.pop(name, given) if isinstance(context.default_map, dict) else given
    return from_file if context.get_parameter_source(name) is click.core.ParameterSource.DEFAULT else given


_WITH_USER = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*:/+)(?!USER:PASSWORD@)[^\s'\"/?#]*@([^\s'\"]*)")
"""An address with a user; ``USER:PASSWORD`` is that of a help text."""
HINT = "set GALAXY_EDGE_DEBUG=1 to see where, and please report it"


def _open_closed_streams() -> None:
    """Open /dev/null for standard streams that the caller closed (``>&-``).

    Otherwise files opened later would get their numbers.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write characters that an encoding lacks as JSON does (``\\u00e9``).

    So a line of JSON stays valid.
    """
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _print_in_any_encoding() -> None:
    """Escape what a standard output that is not UTF-8 cannot encode.

    Standard error does so by default.
    """
    codecs.register_error("galaxy-edge", _escape)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="galaxy-edge")


def _fail(message: str, code: int) -> NoReturn:
    """Print an error, which may have several lines, and exit."""
    prefix = priority_prefix(logging.ERROR)
    click.echo(prefix + f"galaxy-edge: {_printable(message)}".replace("\n", f"\n{prefix}"), err=True)
    raise SystemExit(code)


def _report_thread(failed: threading.ExceptHookArgs) -> None:
    """Log in one line that a thread of the program, or of a library, has failed."""
    name = failed.thread.name if failed.thread else "unknown"
    logger.error("unexpected %s in the thread %s: %s (%s)", failed.exc_type.__name__, name, failed.exc_value, HINT)


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 the work failed, 2 usage error, 130 interrupted.
    """
    try:
        _run_command()
    except SystemExit as end:
        exit_if_requested(end.code if isinstance(end.code, int) else int(bool(end.code)))
        raise
    exit_if_requested(0)


def read_credentials(environment: MutableMapping[str, str]) -> None:
    """Set variables of options from the credentials that systemd passes.

    No user other than the service's can read them.

    Args:
        environment: CREDENTIALS_DIRECTORY is read; its files named ``GALAXY_EDGE_...`` become variables.
    """
    folder = environment.get("CREDENTIALS_DIRECTORY")
    for path in sorted(Path(folder).glob("GALAXY_EDGE_*")) if folder else ():
        environment.setdefault(path.name, path.read_text(encoding="utf-8").strip())


def _run_command() -> None:
    """Run the command, and turn its errors into messages and exit codes."""
    _open_closed_streams()
    _print_in_any_encoding()
    configure_logging()
    if not os.environ.get("GALAXY_EDGE_DEBUG"):
        threading.excepthook = _report_thread
    # OpenCV reads these when it is imported; its own messages would only repeat ours.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        read_credentials(os.environ)
        cli.main(prog_name="galaxy-edge", standalone_mode=False)
    except click.ClickException as error:
        error.show(text := io.StringIO())
        click.echo(_printable(_without_secrets(text.getvalue())), err=True, nl=False)
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, click.Abort):
        click.echo("galaxy-edge: interrupted", err=True)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of our output has closed it, as `| head` does; keep Python from flushing into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except UserError as error:
        _fail(_without_secrets(str(error)), error.exit_code)
    except ModuleNotFoundError as error:
        from ..extras import EXTRA_OF_MODULE, extra_command

        extra = EXTRA_OF_MODULE.get((error.name or "").partition(".")[0])
        if extra is None or os.environ.get("GALAXY_EDGE_DEBUG"):
            raise
        _fail(f"this needs the package {error.name} of the extra [{extra}]: {extra_command(extra)}", 2)
    except Exception as error:  # the last resort: no traceback reaches a user
        if os.environ.get("GALAXY_EDGE_DEBUG"):
            raise
        _fail(_explain(error), 1)


def _explain(error: Exception) -> str:
    """Return the message for an error that is not a `UserError`."""
    unexpected = f"unexpected {type(error).__name__}: {_without_secrets(str(error))} ({HINT})"
    return explain_refusal(error) or unexpected


def _printable(message: str) -> str:
    """Escape non-printing characters in a message of several lines.

    They may stand in the name of a file.
    """
    return "\n".join(map(printable_name, message.split("\n")))


def _without_secrets(message: str) -> str:
    """Mask addresses in a message in any form.

    These are the addresses of the command line, and others that hold a user.

    click and other libraries repeat what they were given; as a path, an address loses a slash.
    """
    for argument in sys.argv[1:]:
        for text in (argument, argument.partition("=")[2]):
            if text and (shown := redact_credentials(text)) != text:
                message = message.replace(text, shown)
    return _WITH_USER.sub(r"\1***@\2", message)
