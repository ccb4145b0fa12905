"""Send messages through Apprise, which keeps its own messages to itself."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import UsageError
from .address import URL_HELP, service_name
from .message import Message

if TYPE_CHECKING:
    from apprise.plugins import NotifyBase


class SendError(Exception):
    """A message that was not accepted; the text says why and holds no secret."""


class _Reasons(logging.Filter):
    """Collect why Apprise could not send, and drop its own messages.

    They hold addresses and tokens: only the error's number or kind is kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_thread: dict[int | None, str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the reason in a record; return False, as no handler may see it."""
        text = record.getMessage()
        if match := re.search(r"\berror=(\d{3})\b", text):
            self.by_thread[record.thread] = f"it answered with the error {match[1]}"
        elif re.search(r"(?i)connection error", text):
            self.by_thread[record.thread] = "it cannot be reached, or did not answer in time"
        return False


_reasons = _Reasons()


class Sender:
    """A notification service.

    Args:
        url: its address, as Apprise takes it.
        number: of the service, for its name.

    Attributes:
        name: for messages, without secrets.

    Raises:
        UsageError: Apprise knows no such service, or the address is incomplete.
    """

    def __init__(self, url: str, number: int = 0) -> None:
        self.name = service_name(url) + (f" (service {number})" if number else "")
        self._plugin = _open_plugin(url)
        if self._plugin is None:
            raise UsageError(f"{self.name} is not an address that Apprise knows; give a URL, {URL_HELP}")

    def send(self, message: Message) -> None:
        """Send a message; may take as long as the service's time-outs.

        Raises:
            SendError: it was not accepted.
        """
        from apprise import AppriseAttachment
        from apprise.attachment.memory import AttachMemory

        assert self._plugin is not None
        image = AttachMemory(content=message.image, name="galaxy.jpg", mimetype="image/jpeg")
        me = threading.get_ident()
        _reasons.by_thread.pop(me, None)
        try:
            is_sent = self._plugin.notify(
                body=message.body, title=message.title, notify_type="info", attach=AppriseAttachment(image),
                body_format="text",
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - a service's plug-in may raise anything, with the address in the text
            raise SendError(f"its plug-in failed with {type(error).__name__}") from None
        if not is_sent:
            raise SendError(_reasons.by_thread.pop(me, "it did not accept the message"))


def open_senders(urls: Sequence[str]) -> list[Sender]:
    """Open services; if there are several, their names have numbers.

    Raises:
        UsageError: an address cannot be used.
    """
    return [Sender(url, number if len(urls) > 1 else 0) for number, url in enumerate(urls, 1)]


def _open_plugin(url: str) -> NotifyBase | None:
    """Return Apprise's plug-in for an address; None if there is none."""
    from apprise import Apprise

    logger = logging.getLogger("apprise")
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # its warnings hold addresses too
    logger.addFilter(_reasons)  # once: a filter that is there already is not added again
    plugin: NotifyBase | None = Apprise.instantiate(url, suppress_exceptions=True)
    return plugin
