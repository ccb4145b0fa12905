"""`galaxy-edge deploy`: install a release on devices over ssh, with rollback."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ...devices.deploy.deploy import DEFAULT_HEALTH, DEFAULT_RESTART, DEFAULT_ROOT
from ..options import FILE, FOLDER, GroupedCommand, Number, option_group

if TYPE_CHECKING:
    from ...devices.deploy.deploy import Outcome, Target

release_options = option_group(
    "Release",
    click.option("--wheelhouse", type=FOLDER, help="Wheels for these devices, made with galaxy-edge wheelhouse."),
    click.option("--models", type=FOLDER, help="Folder with signed bundles; default: those in the wheel."),
    click.option(
        "--require-signature", type=FILE, metavar="KEY", help="Public key of the bundles; needed by --models."
    ),
    click.option("--allow-older", is_flag=True, help="Deploy bundles that are older than those used there before."),
)
device_options = option_group(
    "Device",
    click.option("--root", default=DEFAULT_ROOT, show_default=True, help="Folder of the releases there."),
    click.option(
        "--restart", default=DEFAULT_RESTART, show_default=True, metavar="COMMAND",
        help="Command that restarts the service there; '' for none.",
    ),
    click.option(
        "--health", default=DEFAULT_HEALTH, show_default=True, metavar="URL",
        help="URL that answers 200 while the service is healthy, as seen from the device; '' to trust the restart.",
    ),
    click.option(
        "--start-seconds", type=Number(min=0), default=60.0, show_default=True, metavar="SECONDS",
        help="Time that the service may take to become healthy.",
    ),
    click.option(
        "--health-seconds", type=Number(min=0), default=60.0, show_default=True, metavar="SECONDS",
        help="Time that it must then stay healthy.",
    ),
    click.option(
        "--keep", type=click.IntRange(2, 100), default=3, show_default=True, metavar="N", help="Releases to keep."
    ),
    click.option("--ssh-config", type=FILE, help="Configuration of ssh, instead of your own."),
)  # fmt: skip
action_options = option_group(
    "Other",
    click.option("--status", "show_status", is_flag=True, help="Show the releases there; change nothing."),
    click.option("--rollback", is_flag=True, help="Go back to the last healthy release before the running one."),
    click.option("--to", metavar="RELEASE", help="Release for --rollback."),
    click.option("--json", "as_json", is_flag=True, help="Print as JSON."),
)


@click.command(cls=GroupedCommand)
@click.argument("hosts", metavar="USER@HOST[,...]")
@release_options
@device_options
@action_options
def deploy(hosts: str, show_status: bool, rollback: bool, to: str | None, as_json: bool, **options: Any) -> None:
    """Install a release on devices over ssh, and roll back unless it stays healthy."""
    from ...devices.deploy.connection import check_host
    from ...devices.deploy.deploy import Target, for_each_host

    if show_status and rollback:
        raise click.UsageError("give --status or --rollback, not both")
    if to and not rollback:
        raise click.UsageError("--to belongs to --rollback")
    names = tuple(dict.fromkeys(check_host(host.strip()) for host in hosts.split(",")))
    fields = ("root", "restart", "health", "start_seconds", "health_seconds", "keep")
    target = Target(**{name: options[name] for name in fields}, config=options["ssh_config"])
    outcomes = for_each_host(names, _work(show_status, rollback, to, target, options))
    if as_json:
        click.echo(json.dumps({"hosts": [outcome.as_dict() for outcome in outcomes]}))
    else:
        _print(outcomes, show_status)
    if not all(outcome.ok for outcome in outcomes):
        sys.exit(1)


def _work(
    show_status: bool, rollback: bool, to: str | None, target: Target, options: dict[str, Any]
) -> Callable[[str], Outcome]:  # fmt: skip
    """Return the function that is called for each host."""
    from ...devices.deploy import deploy as steps
    from ...devices.deploy.release import make_release
    from ...devices.deploy.wheelhouse import load_wheelhouse

    if show_status:
        return functools.partial(steps.status, target=target)
    if rollback:
        return functools.partial(steps.roll_back, target=target, to=to)
    if options["wheelhouse"] is None:
        raise click.UsageError("--wheelhouse is missing: galaxy-edge wheelhouse makes one")
    models, key = (options[name] for name in ("models", "require_signature"))
    release = make_release(load_wheelhouse(options["wheelhouse"]), models, key)
    return functools.partial(steps.deploy, release=release, target=target, allow_older=options["allow_older"])


def _print(outcomes: list[Outcome], show_status: bool) -> None:
    from rich.table import Table

    from ...runtime.monitoring.console import PlainConsole

    if len(outcomes) == 1 and not outcomes[0].ok:  # one line, as every other error
        click.echo(f"galaxy-edge: {outcomes[0].host}: {outcomes[0].detail}", err=True)
        return
    table = Table("host", "", "release", "detail", "seconds to serving")
    for outcome in outcomes:
        seconds = "" if outcome.deploy_seconds is None else f"{outcome.deploy_seconds:.1f}"
        table.add_row(outcome.host, "ok" if outcome.ok else "FAILED", outcome.release, outcome.detail, seconds)
    PlainConsole().print(table)
    for outcome in outcomes if show_status else []:
        for record in outcome.releases:
            mark = "*" if record["name"] == outcome.release else " "
            reason = f": {record['reason']}" if record.get("reason") else ""
            click.echo(f"{mark} {outcome.host} {record['name']} version {record['version']}, {record['state']}{reason}")
