"""The options of `galaxy-edge run` for output, the live view, and MQTT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import BROKER, FILE, FOLDER, PLACE, SERVER, SIZE, TOPIC, Number, option_group

if TYPE_CHECKING:
    from ..runtime.run_config import MqttConfig, WebConfig

output_options = option_group(
    "Output",
    click.option("--out", type=FOLDER, default=Path("galaxy-edge-out"), show_default=True, help="Output folder."),
    click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per frame; messages go to stderr."),
    click.option("--show", is_flag=True, help="Show the frames in a window."),
    click.option(
        "--quota", type=SIZE, metavar="SIZE",
        help="Maximum size of crops, images, videos and logs in OUT; the oldest are deleted first. 0: no limit. "
        "Default: the device profile's.",
    ),
    click.option("--keep-free", type=SIZE, default="256M", show_default=True, help="Disk space to leave free."),
    click.option("--fits", is_flag=True, help="Write crops and saved frames as FITS too."),
    click.option("--report/--no-report", default=True, help="Write the report of the night at the end; default: yes."),
    click.option(
        "--place", type=PLACE, metavar="LAT,LON",
        help="Where the telescope stands, in degrees, north and east positive: for altitudes in the report.",
    ),
    click.option("--save-input", is_flag=True, help="Write the exact images that the detector sees to OUT/inputs/."),
    click.option(
        "--profile", "trace", type=FILE, help="Write the timing of every frame to this file, a trace for Perfetto."
    ),
    click.option(
        "--stale-after", type=Number(min=0, min_open=True), default=20.0, show_default=True, metavar="SECONDS",
        help="Report the run as stalled after this time without a frame.",
    ),
)  # fmt: skip

web_options = option_group(
    "Web",
    click.option(
        "--serve", type=SERVER, metavar="[HOST:]PORT",
        help="Show the run in a browser; without HOST, on this machine only.",
    ),
    click.option(
        "--token-file", type=FILE,
        help="File with the token of the live view, which other computers need; default: OUT/token.",
    ),
    click.option(
        "--serve-tls", is_flag=True,
        help="Encrypt the live view, with a certificate that is made in OUT; browsers ask whether to trust it.",
    ),
)  # fmt: skip

mqtt_options = option_group(
    "MQTT",
    click.option(
        "--mqtt", type=BROKER, metavar="URL", help="Publish events to a broker: mqtt[s]://[USER:PASSWORD@]HOST[:PORT]."
    ),
    click.option("--mqtt-ca", type=FILE, help="Certificate of the broker's authority, for mqtts://."),
    click.option(
        "--mqtt-prefix", type=TOPIC, metavar="PREFIX",
        help="Prefix of the topics; default: galaxy-edge/ and this computer's name.",
    ),
    click.option(
        "--mqtt-discovery", type=TOPIC, metavar="PREFIX", default="homeassistant", show_default=True,
        help="Prefix of Home Assistant's discovery; '' for none.",
    ),
    click.option(
        "--mqtt-every", type=Number(min=0.1), default=10.0, show_default=True, metavar="SECONDS",
        help="Publish interval of the figures.",
    ),
)  # fmt: skip


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of output, live view and MQTT to a command."""
    return output_options(web_options(mqtt_options(command)))


def web_config(options: dict[str, Any]) -> WebConfig | None:
    """Remove the live view's options from `options`.

    Returns its configuration, or None without --serve.
    """
    from ..runtime.run_config import WebConfig

    address, token_file, tls = options.pop("serve"), options.pop("token_file"), options.pop("serve_tls")
    return WebConfig(address, token_file, tls, options["place"]) if address else None


def mqtt_config(options: dict[str, Any]) -> MqttConfig | None:
    """Remove MQTT's options from `options`.

    Returns its configuration, or None without --mqtt.
    """
    from ..runtime.run_config import MqttConfig

    names = ("mqtt", "mqtt_ca", "mqtt_prefix", "mqtt_discovery", "mqtt_every")
    url, authority, prefix, discovery, interval = (options.pop(name) for name in names)
    if not url and authority is None and prefix is None:
        return None
    config = MqttConfig(
        url or "mqtt://localhost", authority, prefix, discovery, interval
    )  # checked even if MQTT is not used
    return config if url else None
