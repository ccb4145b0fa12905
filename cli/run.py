"""`galaxy-edge run`: detect, crop and classify what a source delivers."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from .options import CLASSIFIER, COUNT, DETECTOR, ENGINES, FILE, FOLDER, PROFILE, THREADS, TILES, Number, resolve_engine
from .service_options import ServiceOptions, service_options

if TYPE_CHECKING:
    from ..models.bundle import Bundle
    from ..runtime.monitoring.run_stats import RunStats


@click.command()
@click.option(
    "--camera",
    required=True,
    metavar="SOURCE",
    help="demo, a picture, a folder or zip of pictures, a video file, /dev/videoN or N, rtsp:// or http://.",
)
@click.option("--models", type=FOLDER, help="Folder with the bundles galaxy-detector and galaxy-classifier.")
@click.option("--min-score", type=Number(0, 1), help="Least detector score; default: the bundle's own.")
@click.option("--out", type=FOLDER, default=Path("galaxy-edge-out"), show_default=True, help="Output folder.")
@click.option("--max-frames", type=COUNT, help="End after so many frames.")
@click.option("--show", is_flag=True, help="Show the frames in a window.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line a frame; everything else goes to stderr.")
@click.option("--threads", type=THREADS, help="Threads of an inference; default: the device profile's.")
@click.option("--engine", type=ENGINES, help="Default: the device profile's.")
@click.option(
    "--tiles",
    type=TILES,
    default="off",
    show_default=True,
    metavar="auto|NxM|off",
    help="Look at overlapping tiles beside the whole frame: N columns x M rows, or where light is (auto).",
)
@click.option(
    "--stack",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Look at the mean of the last N frames, laid upon each other by their stars; files by name.",
)
@click.option(
    "--gate",
    type=Number(0, 86400),
    metavar="SECONDS",
    help="Let frames like the last share its result, for so long; 0: never. Default: 10 for cameras, else 0. "
    "Without effect where pictures do not follow from each other, and with --stack above 1.",
)
@click.option("--device", type=PROFILE, help="Device profile, by name or TOML file; default: what fits this machine.")
@click.option(
    "--require-signature",
    type=FILE,
    metavar="KEY",
    help="Use only bundles that are signed with the private half of this public key.",
)
@click.option("--profile", type=FILE, help="Write where the time goes to this file, a trace that Perfetto opens.")
@service_options
def run(
    camera: str,
    models: Path | None,
    min_score: float | None,
    out: Path,
    max_frames: int | None,
    show: bool,
    as_json: bool,
    threads: int | None,
    engine: str | None,
    tiles: str,
    stack: int,
    gate: float | None,
    device: str | None,
    require_signature: Path | None,
    profile: Path | None,
    service: ServiceOptions,
) -> None:
    """Detect, crop and classify galaxies in what SOURCE delivers."""
    from ..devices.probe import probe
    from ..errors import ImageError
    from ..runtime.inference.classifier import Classifier
    from ..runtime.inference.detector import Detector
    from ..runtime.monitoring.controls import Controls
    from ..runtime.monitoring.health import RunMonitor
    from ..runtime.monitoring.progress_line import progress_display
    from ..runtime.pipeline.stages import ViewOptions
    from ..runtime.pipeline.threads import decoders
    from ..runtime.pipeline.threads import run as run_loop
    from ..runtime.pipeline.trace import TraceFile
    from ..runtime.recording.output_folder import OutputFolder, utc_now
    from ..runtime.sources.open_source import open_source
    from ..runtime.system.systemd import SystemdNotifier

    source_file = os.path.expanduser(camera)  # which may be no file's name at all: os.path says so, Path raises
    if profile and profile.exists() and os.path.exists(source_file) and profile.samefile(source_file):
        raise click.UsageError(f"--profile would replace the source '{camera}': name another file")
    machine = probe(engines=False)
    engine, threads = resolve_engine(engine, threads, device)
    bundles = {name: load_bundle(models, name, require_signature) for name in (DETECTOR, CLASSIFIER)}

    def tell(line: str) -> None:
        click.echo(f"galaxy-edge: {line}", err=True)

    def on_bad(problem: ImageError) -> None:
        tell(f"skipped {problem}")

    source = open_source(camera, on_bad, tell, sequence=stack > 1, at_once=decoders(), out=out)
    detector = Detector(bundles[DETECTOR], bundles[DETECTOR].usual, engine=engine, threads=threads, min_score=min_score)
    classifier = Classifier(bundles[CLASSIFIER], bundles[CLASSIFIER].usual, engine=engine, threads=threads)
    looks = ViewOptions(tiles, 10.0 * source.live if gate is None else gate, stack)
    if gate and (why := looks.why_no_gate(source.continuous)):
        tell(f"--gate has no effect: {why}")
    window = None
    if show:
        from ..runtime.monitoring.window import Window

        window = Window(classifier.classes, classifier.abstain_below)
    about = {
        "started": utc_now(),
        "source": source.name,
        "version": __version__,
        "engine": engine,
        "device": machine.model or machine.machine,
        "detector": detector.bundle.hash,
        "classifier": classifier.bundle.hash,
    }
    trace = TraceFile(profile, tell) if profile else None
    video = source.continuous and not source.live
    output = OutputFolder(
        out,
        about,
        classifier.classes,
        video,
        abstain=classifier.abstain_below,
        quota=service.quota,
        floor=service.keep_free,
        fits=service.fits,
        alert=tell,
    )
    controls = Controls(min_score=detector.min_score, stack=stack if source.continuous else None, writer=output.writer)
    pulse = RunMonitor(service.stale_after, output.writer, lambda: controls.paused)
    sink = service.open(source.name, output, pulse, controls, tell, tell)
    stop, manager = stop_on_signal(), SystemdNotifier(tell)
    with progress_display(source.length if max_frames is None else max_frames, as_json) as screen:

        def watch(frame: Any, named: Any, record: dict[str, Any], summary: RunStats) -> None:
            if as_json:
                sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
                sys.stdout.flush()
            screen.update(frame, named, record, summary)
            pulse.summary = summary
            if window:
                window.show(frame, named)
            manager.frame_done()

        try:
            summary = run_loop(
                source,
                detector,
                classifier,
                sink,
                watch,
                lambda: stop() or bool(window and window.closed),
                max_frames,
                looks=looks,
                controls=controls,
                trace=trace,
            )
        except BaseException:
            if output.writer.failure:
                tell(str(output.writer.failure))
            raise
    manager.ends()
    if summary.failure and output.writer.failure:
        tell(str(output.writer.failure))
    summary.failure = summary.failure or output.writer.failure
    from ..runtime.monitoring.live_table import print_summary  # its libraries take memory, and the frames are gone now

    print_summary(summary, output.places(), as_json)
    if summary.failure:
        raise summary.failure


def load_bundle(models: Path | None, name: str, key: Path | None = None) -> Bundle:
    from ..models.bundle import Bundle, shipped_bundle_path

    for option, place in (("--models", models), ("--require-signature", key)):
        if place and not place.exists():
            raise click.UsageError(f"{option} {place} does not exist")
    found = Bundle.load(
        models / name if models else shipped_bundle_path(name), "detect" if name == DETECTOR else "classify"
    )
    if key is not None:
        from ..models.signature import verify

        verify(found, key)
    elif models:
        from ..runtime.inference.sandbox import check_bundle_loads

        check_bundle_loads(found, [found.usual])  # a file of unknown origin could crash the run
    if found.failed:
        click.echo(
            f"galaxy-edge: {found.path} is UNGATED: it was written although it failed {', '.join(found.failed)}",
            err=True,
        )
    return found


def stop_on_signal() -> Callable[[], bool]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into a wish to end, which the loop honours; a second Ctrl-C interrupts.

    SIGHUP comes where a terminal or an ssh session closes; nohup, which ignores it, is heeded.
    """
    wishes: list[int] = []

    def wish(number: int, _: Any) -> None:
        wishes.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, wish)
    signal.signal(signal.SIGTERM, wish)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, wish)
    return lambda: bool(wishes)
