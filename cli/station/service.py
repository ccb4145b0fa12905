"""`galaxy-edge service`: run at the start of this computer, under systemd."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import click

from ...devices.toml_lines import did_you_mean
from ...errors import UsageError
from ..options import PROFILE

logger = logging.getLogger(__name__)


@click.group()
def service() -> None:
    """Run galaxy-edge at the start of this computer, under systemd."""


@service.command("install", context_settings={"ignore_unknown_options": True})
@click.option("--dry-run", is_flag=True, help="Print the unit; change nothing.")
@click.option("--replace", is_flag=True, help="Replace a service that is installed with other options.")
@click.option(
    "--profile-of", "device", type=PROFILE, help="Device profile for the memory limit; default: this machine's."
)
@click.option(
    "--credential",
    "credentials",
    multiple=True,
    metavar="VARIABLE=FILE",
    help="Give an option from a file that only root reads, e.g. GALAXY_EDGE_RUN_MQTT=/etc/galaxy-edge/mqtt.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF run]...")
def install(
    dry_run: bool, replace: bool, device: str | None, credentials: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    """Install and start the service; other options are those of galaxy-edge run.

    \b
    sudo galaxy-edge service install --camera '/dev/video0?gain=40' --serve 0.0.0.0:8080
    """
    from ...devices.probe import profile_for
    from ...devices.service import manage
    from ...devices.service.unit import unit_text

    files = dict(map(_credential, credentials))
    _check_run_options(arguments, files)
    _warn_of_secrets(arguments)
    text = unit_text(arguments, profile_for(device), files, manage.existing_groups())
    if dry_run:
        click.echo(text, nl=False)
        return
    manage.check_host()
    manage.install(text, replace)
    click.echo("the service is installed and starts; galaxy-edge service status shows it")


@service.command("status")
def status() -> None:
    """Show whether the service runs; the exit code is that of systemctl status."""
    from ...devices.service import manage
    from ...devices.service.unit import NAME

    manage.check_host(root_needed=False)
    raise SystemExit(manage.show("systemctl", "--no-pager", "status", NAME))


@service.command("logs")
@click.option("--follow", "-f", is_flag=True, help="Wait for new messages.")
@click.option(
    "--lines", type=click.IntRange(1, 10**6), default=100, show_default=True, metavar="N", help="Last N lines."
)
def logs(follow: bool, lines: int) -> None:
    """Print the messages of the service."""
    from ...devices.service import manage
    from ...devices.service.unit import NAME

    manage.check_host(root_needed=False)
    more = ["--follow"] if follow else []
    raise SystemExit(manage.show("journalctl", "--no-pager", "-u", NAME, "-n", str(lines), *more))


@service.command("uninstall")
@click.option("--purge", is_flag=True, help="Remove its data and its user too.")
def uninstall(purge: bool) -> None:
    """Stop and remove the service; its data stay in /var/lib/galaxy-edge."""
    from ...devices.service import manage

    manage.check_host()
    found = manage.uninstall(purge)
    click.echo("the service is removed" if found else "there was no service")


def _credential(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not re.fullmatch(r"GALAXY_EDGE_[A-Z0-9_]+", name) or not path.startswith("/") or ":" in path:
        raise UsageError(f"--credential {name}: give VARIABLE=FILE, e.g. GALAXY_EDGE_RUN_MQTT=/etc/galaxy-edge/mqtt")
    return name, Path(path)


def _check_run_options(arguments: tuple[str, ...], credentials: dict[str, Path]) -> None:
    """Parse the options as `run` will, so that the unit can start.

    A unit with a wrong option would be restarted endlessly.
    """
    from ..run import run

    flags = {f"GALAXY_EDGE_RUN_{name.upper()}": option for option in run.params if (name := _flag(option))}
    given = [*arguments]
    for variable, path in credentials.items():
        if variable not in flags:
            raise UsageError(
                f"--credential {variable}: galaxy-edge run has no such option{did_you_mean(variable, flags)}"
            )
        if value := _read_credential(variable, path):
            flag = f"--{_flag(flags[variable])}".replace("_", "-")
            is_list = getattr(flags[variable], "multiple", False)
            for part in flags[variable].type.split_envvar_value(value) if is_list else [value]:
                given += [flag, part]
        elif variable == "GALAXY_EDGE_RUN_CAMERA":  # required, and only root may read it
            given += ["--camera", "demo"]
    try:
        run.make_context("galaxy-edge run", given)
    except click.UsageError as error:
        error.ctx = click.get_current_context()  # the command that the user gave
        raise


def _warn_of_secrets(arguments: tuple[str, ...]) -> None:
    """Warn of an address with a password or token, which the unit would show."""
    from ...runtime.system.address import redact_credentials

    for text in arguments:
        address = text.partition("=")[2] if text.startswith("--") else text
        if "://" in address and redact_credentials(address) != address:
            logger.warning(
                "every user can read the unit, and %s in it may hold a password or token: put it in a file, and give "
                "--credential, e.g. GALAXY_EDGE_RUN_NOTIFY=/etc/galaxy-edge/notify",
                redact_credentials(address),
            )


def _flag(option: click.Parameter) -> str:
    """Return the name of an option with a value, as in its variable; "" for a switch."""
    is_switch = not isinstance(option, click.Option) or option.is_flag
    return "" if is_switch else option.opts[0].lstrip("-").replace("-", "_")


def _read_credential(variable: str, path: Path) -> str:
    """Return the value in a file; "" if this user may not read it, as in a dry run.

    Raises:
        UsageError: the file does not exist, is empty, or is not text.
    """
    try:
        value = path.read_text(encoding="utf-8").strip()
    except PermissionError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"--credential {variable}: {path} cannot be read: {reason}") from None
    if not value:
        raise UsageError(f"--credential {variable}: {path} is empty")
    return value
