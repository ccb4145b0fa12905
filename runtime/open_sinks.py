"""Open the sinks of a run: output folder, figures, limits, live view, messages."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..devices.profile import Profile
from ..errors import UserError
from .monitoring.controls import Controls
from .monitoring.health import RunMonitor
from .pipeline.sink import ClosedAfter, Sink, SinkGroup
from .recording.output_folder import OutputFolder
from .run_config import MqttConfig, RunConfig, SkyConfig, WatchConfig
from .system.stop_deadline import END_SECONDS

if TYPE_CHECKING:
    from .mqtt.publisher import MqttSink
    from .watch.sink import WatchSink
    from .watch.store import Listener
    from .web.sink import WebSink

logger = logging.getLogger(__name__)


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
    web = watch = None
    try:
        if output and config.source != "demo":  # its sky is drawn
            sinks += _sky_sinks(config, output, monitor)
        if output and config.watch:
            watch = _open_watch(config.watch, config, output)
            sinks.append(watch)
        if config.web:
            from .web.sink import WebSink

            assert output is not None  # RunConfig checks it
            web = WebSink(
                config.web.address, config.web.token_file, source, output, monitor, controls, config.web.tls,
                config.web.place,
            )  # fmt: skip
            sinks.append(web)
        if output:  # RunConfig checks that messages have one
            _add_messages(sinks, config, output, monitor, watch)
    except UserError:
        SinkGroup(sinks).close(0, 0)
        raise
    return SinkGroup(sinks), web


def _open_watch(watch: WatchConfig, config: RunConfig, output: OutputFolder) -> WatchSink:
    from .watch.sink import WatchSink

    folder = watch.references or output.folder / "references"
    deadline = output.writer.deadline
    return WatchSink(
        output.folder, output.info.number, folder, config.stack, watch.stacks, deadline.limit, config.keep_free
    )


def _add_messages(
    sinks: list[Sink], config: RunConfig, output: OutputFolder, monitor: RunMonitor, watch: WatchSink | None
) -> None:
    """Add the sinks of the broker and of the notification services."""
    if config.mqtt:
        mqtt = _open_mqtt(config.mqtt, output, monitor)
        sinks.append(_informed(mqtt, mqtt.inbox.add_candidate, watch, output))
    if config.notify:
        from .notify.sink import NotifySink

        if config.notify.needs_positions:
            _warn_without_solver(config.sky)
        notify = NotifySink(config.notify, output.info, output.writer.deadline)
        sinks.append(_informed(notify, notify.candidate, watch, output))


def _warn_without_solver(sky: SkyConfig) -> None:
    """Warn that finds are notified only in frames whose header has a position."""
    from ..sky.solvers.table import INSTALL, usable_solvers, why_none

    if sky.solve and usable_solvers():
        return
    reason = f"{why_none()} ({INSTALL})" if sky.solve else "frames are not solved (--no-solve)"
    logger.warning(
        "notifications of known, new or named objects need positions on the sky, and %s: "
        "only finds in frames whose header has a position are notified",
        reason,
    )


def _informed(sink: Sink, listener: Listener, watch: WatchSink | None, output: OutputFolder) -> Sink:
    """Return a sink that takes candidates, and is closed after the last one.

    In a run that is asked to stop there is no time to wait for it.
    """
    if watch is None:
        return sink
    from .watch.sink import CLOSE_SECONDS

    watch.listeners.append(listener)
    closed, deadline = watch.closed, output.writer.deadline
    return ClosedAfter(sink, lambda: closed.wait(deadline.limit(CLOSE_SECONDS, keep=END_SECONDS)))


def _open_mqtt(mqtt: MqttConfig, output: OutputFolder, monitor: RunMonitor) -> MqttSink:
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
