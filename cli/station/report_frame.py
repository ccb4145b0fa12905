"""`galaxy-edge report-frame`: pack a frame that was detected or named wrongly."""

from __future__ import annotations

import getpass
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..events import IN
from ..options import FILE, SIZE

if TYPE_CHECKING:
    from ...runtime.frame_report.contents import FrameReport
    from ...runtime.run_config import RunConfig

OUT = Path("frame-report.zip")


@click.command("report-frame")
@IN
@click.option("--frame", type=FILE, metavar="FILE", help="The event's frame, if it is no longer where it was.")
@click.option(
    "--out", type=FILE, default=OUT, show_default=True, metavar="FILE", help="Zip file to write; it must not exist."
)
@click.option(
    "--log", type=FILE, metavar="FILE",
    help="Log of the run, of which the last 200 lines are packed; default: the service's, if it is installed.",
)  # fmt: skip
@click.option(
    "--max-size", type=SIZE, default="20M", show_default=True,
    help="Maximum size of the zip file, such as 500K or 20M; a larger frame is left out.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Write nothing; only print what would be packed.")
@click.option("--yes", is_flag=True, help="Write without asking; without a terminal, nothing is asked.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON; nothing is asked.")
@click.argument("what", metavar="EVENT|FILE")
# Many parameters because each is an option of the command.
def report_frame(
    what: str, folder: Path, frame: Path | None, out: Path, log: Path | None, max_size: int, dry_run: bool, yes: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Pack a frame that was detected or named wrongly, to be sent to others.

    EVENT is the id of an event in an output folder, or its number in the latest run. FILE is an image; it is
    searched now, with the settings of `galaxy-edge run`.

    The zip file has the frame, what was found in it with scores, settings and versions, and the end of the log. It has
    no position of the telescope, no name, host, path, address or password. What is packed and what was left out is
    printed before anything is written; nothing is sent anywhere.

    \b
    galaxy-edge report-frame 12
    galaxy-edge report-frame m31.fits --out m31.zip
    """
    from ...files import write_user_file
    from ...runtime.frame_report.contents import FrameReport, add_event
    from ...runtime.frame_report.redaction import redact_log
    from ...runtime.frame_report.versions import versions
    from ...runtime.system.address import printable_name
    from ...runtime.system.output_text import json_line

    if out.exists() and not dry_run:
        raise click.UsageError(f"'{out}' exists: name another file with --out")
    if not Path(what).is_file() and not re.fullmatch(r"([0-9a-f]{8}-)?\d{1,9}", what):
        raise click.UsageError(f"'{printable_name(what)}' is not a file, nor the id or number of an event")
    config, report = _config(what), FrameReport()
    if Path(what).is_file():
        _add_file(report, Path(what), config)
    else:
        add_event(report, folder, what, frame)
    report.record["versions"] = versions(config.models)
    if text := _log(log):
        report.files["log.txt"] = redact_log(text, _secrets()).encode()
    archive = report.pack(max_size)
    listed = {name: len(content) for name, content in report.all_files().items()}
    if as_json:
        answer = {"file": None if dry_run else str(out), "bytes": len(archive), "files": listed}
        click.echo(json_line({**answer, "removed": report.removed}))
    else:
        click.echo("packed:")
        for name, size in listed.items():
            click.echo(f"  {name:<12} {size:>11,} bytes")
        click.echo("left out:" if report.removed else "nothing was left out")
        for part, names in report.removed.items():
            click.echo(printable_name(f"  {part}: {', '.join(names)}"))
    if dry_run:
        return
    if not (as_json or yes) and sys.stdin.isatty() and not click.confirm(f"Write {out}?", default=True):
        click.echo("nothing was written")
        return
    try:
        write_user_file(out, archive)
    except OSError as error:
        raise click.UsageError(f"'{out}' cannot be written: {error.strerror}") from None
    if not as_json:
        click.echo(f"{out}: {len(archive):,} bytes; look at the frame in it before you send it")


def _config(what: str) -> RunConfig:
    """Return the configuration of a run on an image, without output and services."""
    from ...devices.probe import profile_for
    from ...runtime.run_config import RunConfig
    from ..run import models_folder

    root = click.get_current_context().find_root()
    assert isinstance(root.command, click.Group)
    run = root.command.commands["run"]  # found there, it knows its environment variables
    settings = (root.default_map or {}).get("run") or {}
    context = run.make_context("run", ["--camera", what], parent=root, default_map=settings)
    names = ("engine", "device", "threads", "min_score", "tiles", "stretch", "debayer")
    options = {name: context.params[name] for name in names}
    profile = profile_for(options["device"])
    options["tiles"] = options["tiles"] or profile.tiles
    models = models_folder(context.params["models"], context.params["size"], profile.network)
    return replace(RunConfig(source=what, out=None, models=models), **options)


def _add_file(report: FrameReport, path: Path, config: RunConfig) -> None:
    """Add an image, and what is found in it."""
    from ...errors import UserError
    from ...runtime.frame_report.redaction import FRAME
    from ...runtime.run_settings import shareable_settings
    from ...runtime.session import Session

    report.record["settings"] = shareable_settings(config)
    report.add_image("frame", path)
    config = replace(config, sky=replace(config.sky, solve=False))
    try:
        Session(config).run(lambda _frame, _found, record, _stats: report.add_record("record", record.to_dict(), FRAME))
    except UserError as error:
        report.record["error"] = type(error).__name__


def _log(path: Path | None) -> str:
    """Return a log, or the journal of the service, or "" where there is none."""
    if path:
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise click.UsageError(f"'{path}' cannot be read: {error.strerror}") from None
    if not shutil.which("journalctl"):
        return ""
    command = ["journalctl", "--unit=galaxy-edge", "--lines=200", "--no-pager", "--output=cat", "--quiet"]
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, errors="replace").stdout
    return ""


def _secrets() -> list[str]:
    """Return texts that must not be in a log.

    These are the names of this computer and its user, and all texts of the settings.
    """
    root = click.get_current_context().find_root()
    found = [str(Path.home()), platform.node(), *_texts(root.default_map or {})]
    with suppress(KeyError, OSError):
        found.append(getpass.getuser())
    found += [value for name, value in os.environ.items() if name.startswith("GALAXY_EDGE_")]
    parts = [part for text in found for part in re.split("[/@:?&=]", text) if len(part) > 3 and part != "galaxy-edge"]
    return found + parts


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of settings, at any depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
