"""What `galaxy-edge run` is told of its service: what is kept, and who is told of it."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError
from .options import BROKER, FILE, SERVER, SIZE, TOPIC, Number, require_extra

if TYPE_CHECKING:
    from ..runtime.monitoring.controls import Controls
    from ..runtime.monitoring.health import RunMonitor
    from ..runtime.pipeline.sink import Sink
    from ..runtime.recording.output_folder import OutputFolder


@dataclass(frozen=True)
class ServiceOptions:
    """The options of `service_options`.

    Attributes:
        quota: most bytes of evidence, 0 for no limit.
        keep_free: bytes of the disk to leave free.
        fits: whether crops are written as FITS too.
        serve: address of the live view, or None.
        token_file: holds its token, or None.
        stale_after: seconds without a frame after which the run is not healthy.
        mqtt: URL of a broker, or None.
        mqtt_ca: certificate of the authority that vouches for it, or None.
        mqtt_prefix: of its topics; None for one with this computer's name.
        mqtt_discovery: prefix of Home Assistant's discovery, "" for none.
        mqtt_every: seconds between figures.
    """

    quota: int
    keep_free: int
    fits: bool
    serve: str | None
    token_file: Path | None
    stale_after: float
    mqtt: str | None
    mqtt_ca: Path | None
    mqtt_prefix: str | None
    mqtt_discovery: str
    mqtt_every: float

    def open(
        self, source: str, output: OutputFolder, pulse: RunMonitor, controls: Controls, say: Callable[[str], None],
        alert: Callable[[str], None],
    ) -> Sink:  # fmt: skip
        """Open what was asked for: the output folder and those beside it. Where one cannot be had, all are closed."""
        from ..runtime.pipeline.sink import SinkGroup

        sinks: list[Sink] = [output, pulse]
        try:
            if self.serve:
                from ..runtime.web.sink import WebSink

                sinks.append(WebSink(self.serve, self.token_file, source, output, pulse, controls))
            if self.mqtt:
                from ..runtime.mqtt.address import parse_broker
                from ..runtime.mqtt.publisher import MqttSink

                prefix = self.mqtt_prefix or f"galaxy-edge/{socket.gethostname()}"
                broker = parse_broker(self.mqtt, prefix, self.mqtt_discovery, self.mqtt_every, self.mqtt_ca)
                sinks.append(MqttSink(broker, output.info, output.folder, pulse))
        except UserError:
            SinkGroup(sinks).close(0, 0)
            raise
        return SinkGroup(sinks)


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the service's options to a command, which gets them as one argument `service`."""

    @functools.wraps(command)
    def gathered(**given: Any) -> None:
        service = ServiceOptions(**{field.name: given.pop(field.name) for field in fields(ServiceOptions)})
        wanted = (service.fits, "astropy", "fits"), (service.serve, "fastapi", "serve"), (service.mqtt, "paho", "mqtt")
        for asked, module, extra in wanted:
            if asked:
                require_extra(module, extra)
        if service.mqtt_ca and not service.mqtt_ca.is_file():
            raise click.UsageError(f"--mqtt-ca {service.mqtt_ca}: there is no such file")
        if service.mqtt_prefix == "":
            raise click.UsageError("--mqtt-prefix is empty: topics need a beginning")
        command(**given, service=service)

    for option in (
        click.option("--mqtt-every", type=Number(min=0.1), default=10.0, show_default=True,
                     help="Seconds between figures."),
        click.option("--mqtt-discovery", type=TOPIC, metavar="PREFIX", default="homeassistant", show_default=True,
                     help="Prefix of Home Assistant's discovery; '' for none."),
        click.option("--mqtt-prefix", type=TOPIC, metavar="PREFIX",
                     help="Of the topics; default: galaxy-edge/ and this computer's name."),
        click.option("--mqtt-ca", type=FILE, help="Certificate of the broker's authority, for mqtts://."),
        click.option("--mqtt", type=BROKER, metavar="URL", help="Publish events to a broker: mqtt[s]://[USER:PASSWORD@]HOST[:PORT]."),
        click.option("--stale-after", type=Number(min=0, min_open=True), default=20.0, show_default=True,
                     help="Seconds without a frame after which the run counts as stalled."),
        click.option("--token-file", type=FILE, help="Token of the live view; default: OUT/token, off loopback."),
        click.option("--serve", type=SERVER, metavar="[HOST:]PORT",
                     help="Show the run in a browser; without HOST, on this machine only."),
        click.option("--fits", is_flag=True, help="Write crops and kept frames as FITS too."),
        click.option("--keep-free", type=SIZE, default="256M", show_default=True,
                     help="Bytes of the disk to leave free."),
        click.option("--quota", type=SIZE, default="2G", show_default=True,
                     help="Most bytes of crops, pictures and logs in OUT; the oldest go first. 0: no limit."),
    ):  # fmt: skip
        gathered = option(gathered)
    return gathered
