"""The command line: one thin command a verb. No logic lives here, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .. import __version__
from ..errors import UserError, disk_is_full
from .config import config as config_group
from .data import data
from .evaluate import evaluate
from .events import events
from .export import bundle, export
from .options import CLASSIFIER, COUNT, DETECTOR, ENGINES, FILE, FOLDER, PROFILE, THREADS, TILES, Number, settle_engine
from .service_options import Service, service_options
from .settings import name_variables, settings_for
from .study import explain, study
from .train import train

if TYPE_CHECKING:
    from ..models.bundle import Bundle
    from ..runtime.monitoring.run_stats import Summary


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
    }
)
@click.version_option(__version__, prog_name="galaxy-edge")
@click.option("--config", type=FILE, help="File of settings; default: galaxy-edge.toml, where there is one.")
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Find and name galaxies on small computers at telescopes.

    Every option can also be set in galaxy-edge.toml (galaxy-edge config init writes one) and by an environment
    variable: GALAXY_EDGE_RUN_THREADS=2 is run --threads 2.
    """
    if context.invoked_subcommand != "config":
        context.default_map = settings_for(context, config)


@cli.command()
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
    service: Service,
) -> None:
    """Detect, crop and classify galaxies in what SOURCE delivers."""
    from ..devices.probe import probe
    from ..runtime.errors import BadPicture
    from ..runtime.inference.classifier import Classifier
    from ..runtime.inference.detector import Detector
    from ..runtime.monitoring.controls import Controls
    from ..runtime.monitoring.health import Pulse
    from ..runtime.monitoring.progress_line import follow
    from ..runtime.pipeline.stages import Looks
    from ..runtime.pipeline.threads import decoders
    from ..runtime.pipeline.threads import run as run_loop
    from ..runtime.pipeline.trace import TraceFile
    from ..runtime.recording.output_folder import Output, utc_now
    from ..runtime.sources.image_files import open_source
    from ..runtime.system.systemd import ServiceManager

    source_file = os.path.expanduser(camera)  # which may be no file's name at all: os.path says so, Path raises
    if profile and profile.exists() and os.path.exists(source_file) and profile.samefile(source_file):
        raise click.UsageError(f"--profile would replace the source '{camera}': name another file")
    machine = probe(engines=False)
    engine, threads = settle_engine(engine, threads, device)
    bundles = {name: _bundle(models, name, require_signature) for name in (DETECTOR, CLASSIFIER)}

    def tell(line: str) -> None:
        click.echo(f"galaxy-edge: {line}", err=True)

    def on_bad(problem: BadPicture) -> None:
        tell(f"skipped {problem}")

    source = open_source(camera, on_bad, tell, sequence=stack > 1, at_once=decoders(), out=out)
    detector = Detector(bundles[DETECTOR], bundles[DETECTOR].usual, engine=engine, threads=threads, min_score=min_score)
    classifier = Classifier(bundles[CLASSIFIER], bundles[CLASSIFIER].usual, engine=engine, threads=threads)
    looks = Looks(tiles, 10.0 * source.live if gate is None else gate, stack)
    if gate and (why := looks.why_no_gate(source.continuous)):
        tell(f"--gate has no effect: {why}")
    window = None
    if show:
        from ..runtime.monitoring.window import Window

        window = Window(classifier.classes, classifier.abstain)
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
    output = Output(
        out,
        about,
        classifier.classes,
        video,
        abstain=classifier.abstain,
        quota=service.quota,
        floor=service.keep_free,
        fits=service.fits,
        alert=tell,
    )
    controls = Controls(min_score=detector.min_score, stack=stack if source.continuous else None, keeper=output.keeper)
    pulse = Pulse(service.stale_after, output.keeper, lambda: controls.paused)
    sink = service.open(source.name, output, pulse, controls, tell, tell)
    stop, manager = _stop_on_signal(), ServiceManager(tell)
    with follow(source.length if max_frames is None else max_frames, as_json) as screen:

        def watch(frame: Any, named: Any, record: dict[str, Any], summary: Summary) -> None:
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
            if output.keeper.failure:
                tell(str(output.keeper.failure))
            raise
    manager.ends()
    if summary.failure and output.keeper.failure:
        tell(str(output.keeper.failure))
    summary.failure = summary.failure or output.keeper.failure
    from ..runtime.monitoring.live_table import print_summary  # its libraries take memory, and the frames are gone now

    print_summary(summary, output.places(), as_json)
    if summary.failure:
        raise summary.failure


cli.add_command(train)
cli.add_command(study)
cli.add_command(explain)
cli.add_command(data)
cli.add_command(evaluate)
cli.add_command(export)
cli.add_command(bundle)
cli.add_command(events)
cli.add_command(config_group)


@cli.group(invoke_without_command=True)
@click.option("--models", type=FOLDER, help="Folder with the two bundles; default: the shipped ones.")
@click.option("--rounds", type=click.IntRange(min=1), default=50, show_default=True, help="Inferences of each kind.")
@click.option("--out", type=FILE, default=Path("bench.json"), show_default=True, help="JSON file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON as well.")
@click.pass_context
def bench(context: click.Context, models: Path | None, rounds: int, out: Path, as_json: bool) -> None:
    """Measure latency: both bundles, every installed engine, one and two threads."""
    if context.invoked_subcommand:
        return
    from rich.console import Console

    from ..benchmarks.performance.latency import bench as measure
    from ..benchmarks.performance.tables import bench_table
    from ..devices.probe import probe
    from ..runtime.inference.engine import installed
    from ..runtime.monitoring.live_table import ProgressBar

    bundles = [_bundle(models, name) for name in (DETECTOR, CLASSIFIER)]
    try:
        out.touch()
    except OSError as problem:
        _fail(f"{out} cannot be written: {problem.strerror}", 2)
    with ProgressBar("rounds") as progress:
        result = measure(bundles, installed(), (1, 2), rounds, probe(), progress)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if as_json:
        click.echo(json.dumps(result))
    console = Console(stderr=as_json)
    console.print(bench_table(result))
    console.print(f"written to {out}", highlight=False, soft_wrap=True)


@bench.command("compare")
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def bench_compare(first: Path, second: Path, as_json: bool) -> None:
    """Compare two benchmark files: the ratios SECOND / FIRST, e.g. device / desktop."""
    from rich.console import Console

    from ..benchmarks.performance.compare import compare, read_bench
    from ..benchmarks.performance.tables import compare_table

    one, other = read_bench(first), read_bench(second)
    rows = compare(one, other)
    if as_json:
        click.echo(json.dumps(rows))
    else:
        Console().print(compare_table(one, other, rows))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def devices(as_json: bool) -> None:
    """Show this machine, the cameras on it, and the device profiles."""
    from rich.console import Console

    from ..benchmarks.performance.tables import devices_table, machine_lines
    from ..devices.probe import choose, probe
    from ..devices.profile import all_profiles

    machine = probe()
    fitting = choose(machine)
    if as_json:
        profiles = [profile.as_dict() for profile in all_profiles()]
        click.echo(json.dumps({"machine": machine.as_dict(), "profile": fitting.as_dict(), "profiles": profiles}))
        return
    console = Console()
    for line in machine_lines(machine):
        console.print(line, highlight=False)
    console.print(devices_table(all_profiles(), fitting.name))


name_variables(cli)


def _bundle(models: Path | None, name: str, key: Path | None = None) -> Bundle:
    from ..models.bundle import Bundle, shipped

    for option, place in (("--models", models), ("--require-signature", key)):
        if place and not place.exists():
            raise click.UsageError(f"{option} {place} does not exist")
    found = Bundle.load(models / name if models else shipped(name), "detect" if name == DETECTOR else "classify")
    if key is not None:
        from ..models.signature import verify

        verify(found, key)
    elif models:
        from ..runtime.inference.sandbox import prove_bundle

        prove_bundle(found, [found.usual])  # a file of unknown origin could crash the run
    if found.failed:
        click.echo(
            f"galaxy-edge: {found.path} is UNGATED: it was written although it failed {', '.join(found.failed)}",
            err=True,
        )
    return found


def _stop_on_signal() -> Callable[[], bool]:
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


def _open_closed_streams() -> None:
    """Open nothing in the place of streams that the caller closed (``>&-``); else our own files take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _escape(problem: UnicodeError) -> tuple[str, int]:
    """Write signs that an encoding lacks as JSON does (``\\u00e9``), so that a line of JSON stays one."""
    assert isinstance(problem, UnicodeEncodeError)
    return json.dumps(problem.object[problem.start : problem.end])[1:-1], problem.end


def _print_in_any_encoding() -> None:
    """Let no sign in a name end a command whose standard output is not UTF-8; standard error is so by default."""
    codecs.register_error("galaxy-edge", _escape)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="galaxy-edge")


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"galaxy-edge: {message}", err=True)
    raise SystemExit(code)


REFUSALS = frozenset({errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EIO})
"""What a disk says for reasons that are the user's to see to, not ours."""


HINT = "set GALAXY_EDGE_DEBUG=1 to see where, and please report it"


def _tell_of_thread(failed: threading.ExceptHookArgs) -> None:
    """Say in a line that a thread of the program, or of a library, has ended."""
    name = failed.thread.name if failed.thread else "unknown"
    click.echo(
        f"galaxy-edge: unexpected {failed.exc_type.__name__} in the thread {name}: {failed.exc_value} ({HINT})",
        err=True,
    )


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 the work failed, 2 wrong use, 130 interrupted."""
    _open_closed_streams()
    _print_in_any_encoding()
    if not os.environ.get("GALAXY_EDGE_DEBUG"):
        threading.excepthook = _tell_of_thread
    # OpenCV reads these when it is imported; its complaints would stand beside our own clear line.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        cli.main(prog_name="galaxy-edge", standalone_mode=False)
    except click.ClickException as problem:
        problem.show()
        raise SystemExit(problem.exit_code) from None
    except (KeyboardInterrupt, click.Abort):
        click.echo("galaxy-edge: interrupted", err=True)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Whoever read our output has had enough, as in `| head`; keep Python from flushing into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except UserError as problem:
        _fail(str(problem), problem.exit_code)
    except Exception as problem:  # the last line of defence: no traceback reaches a user
        if os.environ.get("GALAXY_EDGE_DEBUG"):
            raise
        if disk_is_full(problem):
            _fail("the disk is full: make room, then give the same command again, where it has one with --resume", 1)
        if isinstance(problem, OSError) and problem.errno in REFUSALS:
            _fail(f"{problem.filename or 'a file'} cannot be written or read: {problem.strerror}", 1)
        _fail(f"unexpected {type(problem).__name__}: {problem} ({HINT})", 1)
