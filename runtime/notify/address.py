"""Check addresses of notification services, and hide all but their scheme."""

from __future__ import annotations

import re

from ...errors import UsageError
from ..system.address import MASK

URL_HELP = (
    "for example ntfys://ntfy.sh/TOPIC, tgram://BOT_TOKEN/CHAT_ID, mailtos://USER:PASSWORD@HOST or json://HOST/PATH"
)


def parse_service_scheme(url: str) -> str:
    """Return the scheme of a service's address.

    Whether Apprise knows the service is checked when it is opened: loading Apprise takes a moment.

    Raises:
        UsageError: it is not an address; the message has no part of it but the scheme.
    """
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://(\S+)", url)
    if not match:
        raise UsageError(f"'{MASK}' is not the address of a notification service; give a URL, {URL_HELP}")
    return match[1].lower()


def service_name(url: str) -> str:
    """Return a name of a service for messages: its scheme.

    Tokens stand anywhere in these addresses, in some as the host.
    """
    return f"{parse_service_scheme(url)}://{MASK}"
