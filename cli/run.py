"""`galaxy-edge run`: detect, crop and classify what a source delivers."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.system.output_text import json_line
from .options import (
    COUNT,
    ENGINES,
    FILE,
    FOLDER,
    NETWORK_SIZE,
    PROFILE,
    STRETCH,
    THREADS,
    TILES,
    GroupedCommand,
    Number,
    option_group,
)
from .service_options import (
    mqtt_config,
    notify_config,
    service_options,
    sky_config,
    sky_options,
    watch_config,
    web_config,
)
from .terminal.quick_exit import discard_unread_output, discarded, request_quick_exit

if TYPE_CHECKING:
    from pathlib import Path

    from ..runtime.events.frame_record import FrameRecord
    from ..runtime.frame import Detections, Frame
    from ..runtime.monitoring.run_stats import RunStats
    from ..runtime.report.night import Place
    from ..runtime.run_config import RunConfig
    from ..runtime.session import Session
    from ..runtime.system.stop_deadline import StopDeadline

logger = logging.getLogger(__name__)

source_options = option_group(
    "Source",
    click.option(
        "--camera", "source", required=True, metavar="SOURCE",
        help="demo, an image, a folder or zip of images, a video, /dev/videoN or N, picamera2[:N], rtsp://, http:// or "
        "watch:FOLDER. Cameras take options: '0?exposure=200ms&gain=40'.",
    ),
    click.option(
        "--wait/--no-wait", default=None,
        help="Wait for a camera or stream that is absent at the start; default: only in a systemd service.",
    ),
    click.option("--max-frames", type=COUNT, help="Stop after N frames.", metavar="N"),
)  # fmt: skip

network_options = option_group(
    "Network",
    click.option("--models", type=FOLDER, help="Folder with the bundles galaxy-detector and galaxy-classifier."),
    click.option(
        "--size", type=NETWORK_SIZE,
        help="Size of the networks; galaxy-edge models list shows them. Default: the device profile's, if installed.",
    ),
    click.option(
        "--require-signature", type=FILE, metavar="KEY",
        help="Use only bundles that are signed with the private half of this public key.",
    ),
    click.option(
        "--allow-older", is_flag=True, help="Accept signed bundles that are older than those used here before."
    ),
    click.option(
        "--min-score", type=Number(0, 1),
        help="Minimum detector score in the frame and in tiles; default: the bundle's own for each.",
    ),
    click.option("--device", type=PROFILE, help="Name or TOML file of a device profile; default: this machine's."),
    click.option("--engine", type=ENGINES, help="Default: the device profile's."),
    click.option("--threads", type=THREADS, help="Threads of an inference; default: the device profile's."),
)  # fmt: skip

view_options = option_group(
    "Views",
    click.option(
        "--tiles", type=TILES, metavar="auto|NxM|off",
        help="Process tiles in addition to the whole frame: around extended light in frames with a side of more than "
        "three times the network's input, or, if raw, of more than the input (auto), or N columns x M rows of "
        "overlapping tiles. Default: the device profile's.",
    ),
    click.option(
        "--stretch", type=STRETCH, default="auto", show_default=True,
        help="How more than 8 bits are reduced to 8: by the image's noise (auto), linearly from minimum to "
        "maximum (none), or from the median to the 99.8th percentile.",
    ),
    click.option(
        "--debayer", type=click.Choice(["superpixels", "full"]), default="superpixels", show_default=True,
        help="Combine each 2 x 2 cell of a raw colour frame into one pixel, or interpolate colours at full size.",
    ),
    click.option(
        "--stack", type=click.IntRange(1, 64),
        help="Process the mean of the last N frames, aligned by their stars; files are read in order "
        "of DATE-OBS if all have it, else of names. "
        "Default: the device profile's.",
    ),
    click.option(
        "--gate", type=Number(0, 86400), metavar="SECONDS",
        help="Reuse the last result for frames that look the same, for up to this time; 0: never. Default: 10 for "
        "cameras, else 0. No effect on unrelated images and with --stack above 1.",
    ),
)  # fmt: skip


@click.command(cls=GroupedCommand)
@source_options
@network_options
@view_options
@sky_options
@service_options
def run(as_json: bool, timings: bool, **options: Any) -> None:
    """Detect, crop and classify galaxies in the images of SOURCE.

    \b
    galaxy-edge run --camera demo --serve 8080
    galaxy-edge run --camera tonight/ --out found
    galaxy-edge run --camera '0?exposure=2s&gain=40' --stack 8 --serve 0.0.0.0:8080

    Ctrl-C ends a run; what was found stays in OUT, and galaxy-edge view shows it.
    """
    from ..runtime.session import Session

    has_report, place = options.pop("report"), options["place"]
    session = Session(_config(options))
    with _progress(session.length, as_json) as progress:

        def on_frame(frame: Frame, detections: Detections, record: FrameRecord, stats: RunStats) -> None:
            if as_json:
                sys.stdout.write(json_line(record.to_dict()) + "\n")
                sys.stdout.flush()
            if progress:
                progress.update(frame, detections, record, stats)

        writer = session.output.writer if session.output else None
        why_hung = writer.why_abandoned if writer else lambda: ""
        stats = session.run(on_frame, stop_on_signal(session.deadline, why_hung))
    from ..runtime.errors import RunFailure

    # Imported last: its libraries take memory, and the frames are freed by now.
    from ..runtime.monitoring.live_table import print_summary

    if session.deadline.is_set:
        request_quick_exit()
    report = _write_report(session, place) if has_report else {}
    print_summary(stats, session.output.places() | report if session.output else {}, as_json, timings)
    if stats.failure:
        raise stats.failure
    if discarded:
        raise RunFailure(f"{' and '.join(discarded)} was not read: its last lines are lost")


def _write_report(session: Session, place: Place | None) -> dict[str, Path]:
    """Write the report of the night if time and disk allow; return its path."""
    from ..runtime.report.at_end import REPORT_SECONDS, write_report

    output = session.output
    if output is None or output.writer.busy_seconds:  # a disk that does not respond
        return {}
    path = write_report(output.folder, session.deadline.limit(REPORT_SECONDS), place, session.config.keep_free)
    return {"report": path} if path else {}


def _config(options: dict[str, Any]) -> RunConfig:
    """Return the configuration of a run from the command's options."""
    from ..devices.probe import profile_for
    from ..runtime.run_config import RunConfig

    profile = profile_for(options["device"])
    defaults = {"tiles": profile.tiles, "stack": profile.stack, "quota": profile.quota * 2**20}
    options |= {name: value for name, value in defaults.items() if options[name] is None}
    options["models"] = models_folder(options["models"], options.pop("size"), profile.network)
    web, mqtt, notify = web_config(options), mqtt_config(options), notify_config(options)
    del options["place"]
    watch = watch_config(options)
    return RunConfig(web=web, mqtt=mqtt, notify=notify, sky=sky_config(options), watch=watch, **options)


def models_folder(folder: Path | None, size: str | None, suggested: str) -> Path | None:
    """Return the folder of the networks; None for the shipped ones.

    Args:
        folder, size: as given on the command line.
        suggested: the size of the device profile.
    """
    if folder and size:
        raise click.UsageError("--models and --size exclude each other: a folder of networks has its own size")
    if folder or (size or suggested) == "small":
        return folder  # the package's own networks: nothing is looked for
    from ..models.sizes import SHIPPED_SIZE, models_of_size, size_folder

    if not size and not size_folder(suggested):
        logger.info("the networks of size %s, for this device, are not installed: using %s", suggested, SHIPPED_SIZE)
        return None
    return models_of_size(size or suggested)


def _progress(length: int | None, as_json: bool) -> Any:
    """Return the progress display as a context manager.

    It yields None if only warnings are printed.
    """
    from contextlib import nullcontext

    from ..runtime.monitoring.progress_line import progress_display

    if not logging.getLogger("galaxy_edge").isEnabledFor(logging.INFO):
        return nullcontext()
    return progress_display(length, as_json)


def stop_on_signal(deadline: StopDeadline, why_hung: Callable[[], str] = lambda: "") -> Callable[[], bool]:
    """Return a function that reports whether a signal asked to stop.

    The first Ctrl-C, SIGTERM or SIGHUP asks to stop; a second Ctrl-C interrupts.

    SIGHUP comes when a terminal or an ssh session closes; where it is ignored, as under nohup, it stays so.

    Args:
        deadline: started by the first signal.
        why_hung: returns why the run cannot end by itself, e.g. a disk that does not respond, or "". If it still gives
            a reason when the deadline has come, the process prints it and ends.
    """
    received: list[int] = []

    def receive(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    # A handler runs when the main thread comes back from native code, which may wait for a disk; a wake-up comes at
    # once, and to another thread.
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(reader, True)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in signals:
        signal.signal(number, receive)
    watch = (reader, frozenset(map(int, signals)), deadline, why_hung)
    threading.Thread(target=_end_if_hung, args=watch, name="stop", daemon=True).start()
    return lambda: bool(received)


def _end_if_hung(wake_up: int, signals: frozenset[int], deadline: StopDeadline, why_hung: Callable[[], str]) -> None:
    """Wait for a signal; end the process if it cannot end by its deadline."""
    while not signals & set(os.read(wake_up, 64)):
        pass
    deadline.start()
    discard_unread_output()
    deadline.sleep_until_abandoned()
    while not (reason := why_hung()):
        time.sleep(0.05)
    logger.error("%s", reason)
    os._exit(1)
