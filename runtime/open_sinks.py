"""Open the sinks of a run: output folder, figures, limits, live view, messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..devices.profile import Profile
from ..errors import UserError
from .monitoring.controls import Controls
from .monitoring.health import RunMonitor
from .pipeline.sink import Sink, SinkGroup
from .recording.output_folder import OutputFolder
from .run_config import MqttConfig, RunConfig, WatchConfig

if TYPE_CHECKING:
    from .web.sink import WebSink


def open_sinks(
    config: RunConfig, source: str, profile: Profile, output: OutputFolder | None, monitor: RunMonitor,
    controls: Controls, more: Sequence[Sink],
) -> tuple[SinkGroup, WebSink | None]:  # fmt: skip
    """Open the configured sinks; if one cannot be opened, close all.

    Args:
        config: of the run.
        source: its printable name.
        profile: of the device, for its limits.
        output: the output folder, if there is one.
        monitor, controls: of the run.
        more: further sinks.

    Returns:
        All sinks, and the live view, which is one of them; None if it is not configured.
    """
    sinks: list[Sink] = [output] if output else []
    sinks += [monitor, *more]
    if profile.memory or profile.throttle:
        from .monitoring.device_limits import DeviceLimits

        sinks.append(DeviceLimits(profile))
    web = None
    try:
        if output and config.source != "demo":  # its sky is drawn
            sinks += _sky_sinks(config, output, monitor)
        if output and config.watch:
            sinks.append(_open_watch(config.watch, config.stack, output))
        if config.web:
            from .web.sink import WebSink

            assert output is not None  # RunConfig checks it
            web = WebSink(
                config.web.address, config.web.token_file, source, output, monitor, controls, config.web.tls,
                config.web.place,
            )  # fmt: skip
            sinks.append(web)
        if config.mqtt:
            assert output is not None
            sinks.append(_open_mqtt(config.mqtt, output, monitor))
        if config.notify:
            from .notify.sink import NotifySink

            assert output is not None
            sinks.append(NotifySink(config.notify, output.info, output.writer.deadline))
    except UserError:
        SinkGroup(sinks).close(0, 0)
        raise
    return SinkGroup(sinks), web


def _open_watch(watch: WatchConfig, depth: int, output: OutputFolder) -> Sink:
    from .watch.sink import WatchSink

    folder = watch.references or output.folder / "references"
    deadline = output.writer.deadline
    return WatchSink(output.folder, output.info.number, folder, depth, watch.stacks, deadline.limit)


def _open_mqtt(mqtt: MqttConfig, output: OutputFolder, monitor: RunMonitor) -> Sink:
    import socket

    from .mqtt.address import parse_broker
    from .mqtt.publisher import MqttSink

    prefix = mqtt.prefix or f"galaxy-edge/{socket.gethostname()}"
    broker = parse_broker(mqtt.url, prefix, mqtt.discovery, mqtt.interval, mqtt.authority)
    return MqttSink(broker, output.info, output.folder, monitor, output.writer)


def _sky_sinks(config: RunConfig, output: OutputFolder, monitor: RunMonitor) -> list[Sink]:
    """Return what measures and lists the frames whose position on the sky is known."""
    from .monitoring.depth_sink import DepthSink
    from .monitoring.field_sink import FieldSink

    number = output.info.number
    return [DepthSink(output.folder, number, monitor), FieldSink(output.folder, number, monitor, config.catalogue)]
