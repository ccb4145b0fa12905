"""Parse and check brokers: address, credentials and topics."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from ...errors import UsageError
from ..system.address import is_host_name, is_text, redact_credentials

URL_HELP = "mqtt://HOST or mqtts://USER:PASSWORD@HOST:PORT, with %23 for a # in the password, %2F for / and %40 for @"
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
"""Port by URL scheme."""
MAX_PREFIX_LENGTH = 200


@dataclass(frozen=True)
class Broker:
    """A broker and what to publish there.

    Attributes:
        host, port, tls, user, password: of the broker.
        prefix: of every topic.
        discovery: prefix of Home Assistant's discovery topics; "" for none.
        interval: seconds between two publications of the figures.
        authority: certificate of the authority that signed the broker's, if the system does not know it.
    """

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None = field(repr=False)
    prefix: str
    discovery: str
    interval: float
    authority: Path | None = None

    @property
    def name(self) -> str:
        """Host and port, without credentials."""
        return f"{self.host}:{self.port}"


def parse_broker_url(url: str) -> SplitResult:
    """Parse ``mqtt[s]://[USER:PASSWORD@]HOST[:PORT]``.

    Raises:
        UsageError: it is not such an address; the message does not contain the password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed, and refused, on access
    except ValueError:
        raise UsageError(f"the broker's address cannot be parsed; give {URL_HELP}") from None
    valid = parts.scheme in DEFAULT_PORTS and parts.hostname and is_host_name(parts.hostname) and parts.port != 0
    if not valid or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(f"'{redact_credentials(url)}' is not a broker's address; give {URL_HELP}")
    return parts


def parse_topic(text: str) -> str:
    """Return `text` if MQTT topics can begin with it.

    Raises:
        UsageError: they cannot.
    """
    invalid = set(text) & set("+#\0") or text != text.strip("/") or len(text) > MAX_PREFIX_LENGTH
    if invalid or not is_text(text):
        raise UsageError(f"'{text}' is not a topic: no + or #, no / at its ends, up to {MAX_PREFIX_LENGTH} characters")
    return text


def parse_broker(url: str, prefix: str, discovery: str, interval: float, authority: Path | None = None) -> Broker:
    """Parse ``mqtt[s]://[USER:PASSWORD@]HOST[:PORT]`` and check the topics.

    Raises:
        UsageError: it is not such an address, or a prefix is not a topic.
    """
    parts = parse_broker_url(url)
    if not parse_topic(prefix):
        raise UsageError("--mqtt-prefix is empty: topics need a prefix")
    user, password = (unquote(text) if text is not None else None for text in (parts.username, parts.password))
    tls = parts.scheme == "mqtts"
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return Broker(parts.hostname or "", port, tls, user, password, prefix, parse_topic(discovery), interval, authority)
