"""`galaxy-edge notify`: try notifications before the night."""

from __future__ import annotations

import os

import click

from ...errors import require_extra
from ..options import NOTIFY
from ..settings import DEFAULT
from ..terminal.settings_trust import check_trust

VARIABLE = "GALAXY_EDGE_RUN_NOTIFY"


@click.group()
def notify() -> None:
    """Try notifications of finds, which galaxy-edge run --notify sends."""


@notify.command()
@click.argument("urls", metavar="[URL]...", nargs=-1, type=NOTIFY)
@click.pass_context
def test(context: click.Context, urls: tuple[str, ...]) -> None:
    """Send a test message with a drawn galaxy to URL.

    Without URL, to the services of run: GALAXY_EDGE_RUN_NOTIFY, else notify in galaxy-edge.toml.

    Exit codes: 0 all services accepted it, 1 one did not, 2 usage error.
    """
    require_extra("apprise", "notify")
    from ...runtime.notify.trial import send_trial

    failed = False
    for name, reason in send_trial(urls or _configured(context)):
        failed = failed or bool(reason)
        click.echo(f"{name}: {f'not sent: {reason}' if reason else 'sent'}")
    raise SystemExit(int(failed))


def _configured(context: click.Context) -> tuple[str, ...]:
    """Return the addresses that a run would notify.

    Raises:
        click.UsageError: there are none, or one is invalid.
    """
    if text := os.environ.get(VARIABLE):
        return tuple(NOTIFY.convert(url, None, context) for url in text.split())
    root = context.find_root()
    settings = (root.default_map or {}).get("run", {})
    urls = settings.get("notify", ())
    if not urls:
        raise click.UsageError(f"give a URL, or set notify in the table [run] of {DEFAULT}, or {VARIABLE}")
    if root.params["config"] is None:
        check_trust(DEFAULT, {"notify": urls})
    return tuple(urls)
