"""The options of `galaxy-edge run` for output, sky, live view, messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import BROKER, FILE, FOLDER, NOTIFY, PLACE, SERVER, SIZE, TOPIC, CheckedText, Number, option_group

if TYPE_CHECKING:
    from ..runtime.notify.config import NotifyConfig
    from ..runtime.run_config import MqttConfig, SkyConfig, WatchConfig, WebConfig
    from ..sky.hints import Hints


def _ra(text: str) -> object:
    from ..sky.hints import parse_angle

    return parse_angle(text, is_ra=True)


def _dec(text: str) -> object:
    from ..sky.hints import parse_angle

    return parse_angle(text, is_ra=False)


RA = CheckedText("ra", _ra, "12h50m53s")
DEC = CheckedText("dec", _dec, "+41d07m13s")

HINT_OPTIONS = (
    click.option("--ra", type=RA, metavar="RA", help="Right ascension near the centre: 192.72 (degrees) or 12h50m53s."),
    click.option("--dec", type=DEC, metavar="DEC", help="Declination near the centre: 41.12 or +41d07m13s."),
    click.option(
        "--radius", type=Number(0.1, 180), metavar="DEGREES",
        help="Search this far around the position first; default: 3.",
    ),
    click.option(
        "--scale", type=Number(0.01, 3600), metavar="ARCSEC", help="Arcseconds per pixel, known to 10 %."
    ),
)  # fmt: skip

sky_options = option_group(
    "Sky",
    click.option(
        "--solve/--no-solve", default=True,
        help="Find where frames are on the sky, with a plate solver in the background. Default: on.",
    ),
    *HINT_OPTIONS,
    click.option(
        "--catalogue", type=FILE, metavar="TABLE",
        help="Your own objects, any table that astropy reads with ra, dec and name, in addition to OpenNGC.",
    ),
    click.option(
        "--solve-every", type=Number(0.1, 1440), default=5.0, show_default=True, metavar="MINUTES",
        help="Check the position by the stars, and solve again where they disagree.",
    ),
    click.option(
        "--watch-new", is_flag=True,
        help="Compare stacks with a reference of the same field, and list what is new near a known galaxy as a "
        "candidate to be checked. Best with --stack 16.",
    ),
    click.option(
        "--references", type=FOLDER, metavar="FOLDER",
        help="Folder of the references of --watch-new; default: OUT/references.",
    ),
    click.option(
        "--watch-stacks", type=click.IntRange(2, 20), default=3, show_default=True, metavar="N",
        help="Number of independent stacks that must show a candidate.",
    ),
)  # fmt: skip

output_options = option_group(
    "Output",
    click.option("--out", type=FOLDER, default=Path("galaxy-edge-out"), show_default=True, help="Output folder."),
    click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per frame; messages go to stderr."),
    click.option("--timings", is_flag=True, help="Print the time of each stage and the memory at the end."),
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
        "--video/--no-video", default=True,
        help="Write the annotated video of the demo, a video or a stacked sequence; default: yes.",
    ),
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


notify_options = option_group(
    "Notifications",
    click.option(
        "--notify", type=NOTIFY, multiple=True, metavar="URL",
        help="Notify of finds, with the crop: ntfys://ntfy.sh/TOPIC, tgram://BOT_TOKEN/CHAT_ID, "
        "mailtos://USER:PASSWORD@HOST, json://HOST/PATH or another URL of Apprise; may be repeated.",
    ),
    click.option(
        "--notify-class", multiple=True, metavar="CLASS",
        help="Only of this class, or group of classes such as spiral; may be repeated.",
    ),
    click.option(
        "--notify-name", multiple=True, metavar="NAME",
        help="Only of this catalogued object, such as 'M 94' or 'NGC*'; may be repeated.",
    ),
    click.option(
        "--notify-which", type=click.Choice(["all", "known", "new"]), default="all", show_default=True,
        help="Only of catalogued objects, or only where no catalogued object is.",
    ),
    click.option("--notify-min-score", type=Number(0, 1), default=0.0, help="Only from this detector score on."),
    click.option(
        "--notify-every", type=Number(0, 1440), default=1.0, show_default=True, metavar="MINUTES",
        help="Minimum time between two notifications; finds of that time are in the next one.",
    ),
    click.option(
        "--notify-again", type=Number(0, 525600), default=720.0, show_default=True, metavar="MINUTES",
        help="Do not notify of the same object again for this time.",
    ),
)  # fmt: skip


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of output, live view, MQTT and notifications to a command."""
    return output_options(web_options(mqtt_options(notify_options(command))))


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


def notify_config(options: dict[str, Any]) -> NotifyConfig | None:
    """Remove the options of notifications from `options`.

    Returns their configuration, or None without --notify.
    """
    names = ("notify", "notify_class", "notify_name", "notify_which", "notify_min_score")
    urls, classes, objects, which, min_score = (options.pop(name) for name in names)
    interval, again = (options.pop(name) * 60 for name in ("notify_every", "notify_again"))
    if not urls:
        return None
    from ..runtime.notify.config import NotifyConfig

    return NotifyConfig(urls, classes, objects, which, min_score, interval, again)


def sky_config(options: dict[str, Any]) -> SkyConfig:
    """Return the configuration of the sky; its options are removed."""
    from ..runtime.run_config import SkyConfig

    solve, interval = options.pop("solve"), options.pop("solve_every") * 60
    names = ("ra", "dec", "radius", "scale")
    if all(options[name] is None for name in names):
        for name in names:
            del options[name]
        return SkyConfig(solve, interval=interval)
    hints = hints_of(options)
    return SkyConfig(solve, hints.ra, hints.dec, hints.radius, hints.scale, interval)


def watch_config(options: dict[str, Any]) -> WatchConfig | None:
    """Remove the options of watching from `options`; return its configuration.

    Returns:
        None without --watch-new.
    """
    from ..runtime.run_config import WatchConfig

    is_on, references, stacks = (options.pop(name) for name in ("watch_new", "references", "watch_stacks"))
    return WatchConfig(references, stacks) if is_on else None


def hints_of(options: dict[str, Any]) -> Hints:
    """Return the hints of the options, which are removed.

    Raises:
        click.UsageError: only one coordinate is given, or a radius without a position.
    """
    from ..sky.hints import RADIUS, Hints, parse_angle, scale_range

    ra, dec, radius, scale = (options.pop(name) for name in ("ra", "dec", "radius", "scale"))
    if (ra is None) != (dec is None):
        raise click.UsageError("--ra also needs --dec" if dec is None else "--dec also needs --ra")
    if ra is None:
        return Hints(radius=radius or RADIUS, scale=scale_range(scale) if scale else None)
    return Hints(
        parse_angle(ra, is_ra=True), parse_angle(dec, is_ra=False), radius or RADIUS,
        scale_range(scale) if scale else None,
    )  # fmt: skip
