"""Collect the contents of a report and pack them, within a limit of size."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ImageError, UsageError
from ..events.event_row import EventRow
from ..events.queries import get_event
from ..events.reader import open_for_reading
from .clean_image import clean_image
from .redaction import EVENT, FRAME, keep_known, redact_log

ABOUT = """A frame that galaxy-edge detected or named wrongly, for a report.

report.json  what was found in it, settings and versions
frame.*      the frame, without its metadata
crop.*       the best view of the object, where the output folder has it
log.txt      the end of the log, with unknown words masked

Pixels are as they came: look at the frame before you send it.
"""
STAMP = (2000, 1, 1, 0, 0, 0)
"""Time of all files in the archive: that of the computer would show its time zone."""


@dataclass
class FrameReport:
    """What a report holds.

    Attributes:
        record: content of report.json.
        files: contents by name.
        removed: what was left out, by where it was: names only, never values.
    """

    record: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)

    def add_record(self, name: str, record: dict[str, Any], keys: dict[str, Any]) -> None:
        """Add the known parts of a record."""
        self.record[name], removed = keep_known(record, keys)
        if removed:
            self.removed[name] = removed

    def add_image(self, name: str, path: Path) -> None:
        """Add an image without its metadata.

        One that cannot be read is left out, with the reason.
        """
        try:
            image = clean_image(path.read_bytes(), path.name)
        except (ImageError, UsageError) as error:
            reason = str(error).replace(str(path), "it").replace(path.name, "it")
            self.removed[name] = [f"the whole file: {redact_log(reason).strip()}"]
            return
        self.files[f"{name}{image.suffix}"] = image.content
        if image.removed:
            self.removed[name] = list(image.removed)

    def all_files(self) -> dict[str, bytes]:
        """Return all contents by name, the record included."""
        text = json.dumps({"report": 1, **self.record, "removed": self.removed}, indent=1)
        return {"README.txt": ABOUT.encode(), "report.json": text.encode(), **self.files}

    def pack(self, limit: int) -> bytes:
        """Return the report as a zip file of at most `limit` bytes.

        Large images are left out if need be.

        Raises:
            UsageError: it is too large without them.
        """
        archive = self._packed()
        for name in [name for name in self.files if name.startswith(("frame.", "crop."))]:
            if len(archive) <= limit:
                break
            size = len(self.files.pop(name))
            self.removed[name] = [f"the whole file: with its {size:,} bytes the report is larger than --max-size"]
            archive = self._packed()
        if len(archive) > limit:
            raise UsageError(f"the report has {len(archive):,} bytes, more than --max-size: give a larger one")
        return archive

    def _packed(self) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.all_files().items():
                archive.writestr(zipfile.ZipInfo(name, STAMP), content, zipfile.ZIP_DEFLATED)
        return stream.getvalue()


def add_event(report: FrameReport, folder: Path, event: str, frame: Path | None) -> None:
    """Add an event of an output folder.

    With it come its crop, the record of its best frame, and that frame if it is found.

    Args:
        report: to which it is added.
        folder: the output folder.
        event: its id or number, see `get_event`.
        frame: the file of its best frame; None to look for it.

    Raises:
        UsageError: the folder has no such event, or cannot be read.
    """
    row = get_event(folder, event)
    report.add_record("event", row.to_dict(), EVENT)
    source, settings = _run_of(folder, row.run)
    report.record["settings"] = json.loads(settings) if settings else None
    lines = list(_logged_frame(folder, row))
    if lines:
        report.add_record("record", lines[-1], FRAME)
    path = frame or _find_frame(source, row.source)
    if path is None:
        report.removed["frame"] = ["not found: only its crop was kept; add the file with --frame"]
    else:
        report.add_image("frame", path)
    if row.crop:
        report.add_image("crop", folder / row.crop)


def _run_of(folder: Path, run: int) -> tuple[str, str]:
    """Return the source and the settings of a run."""
    with open_for_reading(folder) as database:
        row = database.execute("SELECT source, settings FROM run WHERE id = ?", (run,)).fetchone()
    return row["source"], row["settings"]


def _logged_frame(folder: Path, row: EventRow) -> Iterator[dict[str, Any]]:
    """Yield the records of an event's best frame from the logs of its run."""
    start = f'{{"frame": {row.best_frame},'
    for path in sorted(folder.glob(f"frames-{row.run:04d}*.jsonl")):
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith(start) and line.endswith("}\n"):
                    yield json.loads(line)


def _find_frame(source: str, name: str) -> Path | None:
    """Return the image that a frame was read from, if it is still where it was."""
    for path in (Path(source, name), Path(source.removeprefix("watch:"), name), Path(name), Path(source)):
        try:
            if path.is_file():
                return path
        except (OSError, ValueError):
            continue
    return None
