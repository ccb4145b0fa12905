"""A folder that a capture program writes frames into, read as they arrive.

NINA, Ekos, SharpCap and smart telescopes write each frame as a file, often to a network share and into a sub-folder
for each night. A file is read once it is finished: its size has stopped changing, and a FITS file is as long as its
header says.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import ImageError, UsageError
from ...models.images.decoder import SUFFIXES
from ...models.images.development import Development
from ...models.images.fits_length import fits_length
from ...models.images.frame_type import CalibrationFrameError
from ...models.images.memory import MemoryGate
from ..frame import Frame
from ..system.address import printable_name, redact_credentials
from .image_files import decode_entry, file_entry
from .image_frame import ReadingLog, image_frame
from .image_order import is_hidden, unread_suffix
from .natural_order import natural_key
from .work_journal import WorkJournal

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Interval between two scans of the folder; a file must be unchanged from one to the next."""
PATIENCE_SECONDS = 30.0
"""A file that stays unreadable this long after its last change is reported and skipped."""
MAX_LISTED = 10
"""Files that are named at the end of the run, of those that were not complete."""
FITS_SUFFIXES = (".fits", ".fit", ".fts")


@dataclass(frozen=True)
class _Version:
    """Properties of a directory entry that change while its file is being written."""

    size: int
    modified: int


class WatchedFolderSource:
    """Frames of the files that appear in a folder or below, oldest first, each once.

    Args:
        folder: the folder; it may be missing for a while (a network share), at the start too.
        out: the output folder; it is not read where it lies inside `folder`, and keeps the list of processed files,
            so that a later run resumes after them.
        poll_seconds: seconds between two scans of the folder.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise.

    Raises:
        UsageError: the folder is the output folder itself, or a file.
    """

    continuous = True
    live = False
    length: int | None = None

    def __init__(
        self,
        folder: Path,
        out: Path | None = None,
        poll_seconds: float = POLL_SECONDS,
        development: Development | None = None,
    ) -> None:
        # A folder that this user may not see yet is waited for; tests of pathlib would raise PermissionError.
        exists, is_folder = os.path.exists(folder), os.path.isdir(folder)
        self.name = printable_name(f"watch:{folder if is_folder else redact_credentials(str(folder))}")
        self.bad = 0
        self.reopened = 0
        self._folder, self._out, self._poll = folder, out and out.resolve(), poll_seconds
        if exists and not is_folder:
            raise UsageError(f"'{folder}' is not a folder: watch:FOLDER needs one")
        if self._out == folder.resolve():
            raise UsageError(f"'{folder}' cannot be source and output folder at once: name another --out")
        self._list = ProcessedList(out, folder) if out else None
        self._done: dict[str, _Version] = self._list.read() if self._list else {}
        self._seen: dict[str, _Version] | None = None
        self._changed: dict[str, float] = {}  # when files appeared or changed while the folder was watched
        self._found: dict[str, float] = {}  # when files were seen first
        self._waiting: dict[str, str] = {}  # files that are not complete, and why
        self._failed: dict[str, tuple[_Version, float]] = {}  # files that could not be read, and since when
        self._names: dict[str, str] = {}  # of frames under way: as shown, as on the disk
        self._away = False
        self._development, self._log = development, ReadingLog()
        self._unread: set[str] = set()
        self._gate, self._journal = MemoryGate(), WorkJournal(out)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of finished files; wait for more, without end."""
        number = 0
        try:
            while True:
                for name, version in self._ready():
                    frame = self._read(name, version, number)
                    if frame is not None:
                        yield frame
                        del frame  # nothing is held while the next is waited for
                        number += 1
                time.sleep(self._poll)
        finally:
            self.run_ended()

    def frame_processed(self, source: str) -> None:
        """Note that a frame was processed and written: no later run repeats its file.

        Args:
            source: the frame's `source`.
        """
        name = self._names.pop(source, None)
        if self._list and name is not None:
            self._list.append(name, self._done[name])

    def _ready(self) -> list[tuple[str, _Version]]:
        """Return finished, unread files, oldest first, then in natural order of names."""
        try:
            found = dict(self._files())
        except OSError as error:
            if not self._away:
                hint = ". Check its name" if self._seen is None and isinstance(error, FileNotFoundError) else ""
                logger.warning("%s cannot be read (%s); waiting for it to come back%s", self.name, error.strerror, hint)
            self._away = True
            return []
        if self._away:
            self._away, self.reopened = False, self.reopened + 1
            self._failed.clear()
            logger.warning("%s is back", self.name)
        seen, self._seen = self._seen or {}, found
        now = time.monotonic()
        self._found = {name: self._found.get(name, now) for name in found}
        self._waiting = {name: reason for name, reason in self._waiting.items() if name in found}
        if seen:
            self._changed |= {name: now for name, version in found.items() if seen.get(name) != version}
        ready = [
            (name, version)
            for name, version in found.items()
            if seen.get(name) == version and self._done.get(name) != version and self._complete(name, version)
        ]
        return sorted(ready, key=lambda item: (item[1].modified, natural_key(item[0])))

    def _files(self) -> Iterator[tuple[str, _Version]]:
        """List the image files, without hidden ones and the output folder.

        Raises:
            OSError: the folder cannot be listed. A sub-folder or file that vanishes meanwhile is passed over.
        """
        os.scandir(self._folder).close()  # os.walk passes over a folder that is missing
        for root, folders, names in os.walk(self._folder):
            folders[:] = sorted(
                name for name in folders if not is_hidden((name,)) and Path(root, name).resolve() != self._out
            )
            for name in names:
                path = Path(root, name)
                if name.startswith("."):
                    continue
                if not name.lower().endswith(SUFFIXES):
                    self._note_unread(name)
                    continue
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                yield path.relative_to(self._folder).as_posix(), _Version(status.st_size, status.st_mtime_ns)

    def _note_unread(self, name: str) -> None:
        """Log that files of a kind are not read, once for each kind."""
        suffix = unread_suffix(name)
        if suffix and suffix not in self._unread:
            self._unread.add(suffix)
            logger.warning("%s: files of the kind %s are not read (%s)", self.name, suffix, printable_name(name))

    def _complete(self, name: str, version: _Version) -> bool:
        """Return whether a file of stable size is complete, or will never be."""
        if name in self._failed and self._failed[name][0] == version:
            return self._is_settled(name, version)
        if self._is_settled(name, version):
            return True  # its defect is reported when it is read
        self._waiting[name] = "it is empty"
        if version.size == 0:
            return False
        if Path(name).suffix.lower() in FITS_SUFFIXES:
            try:
                with (self._folder / name).open("rb") as stream:
                    length = fits_length(stream.read)
            except (OSError, ValueError) as error:
                self._waiting[name] = str(getattr(error, "strerror", None) or error)
                return False
            if version.size < length:
                self._waiting[name] = f"it has {version.size} of {length} bytes"
                return False
        del self._waiting[name]
        return True

    def _is_settled(self, name: str, version: _Version) -> bool:
        """Return whether a file has not changed for `PATIENCE_SECONDS`.

        The time stamp of a file that changes while it is watched is not trusted, nor one that is in the future: the
        clock of a server may be wrong, and this computer's may be set at any time.
        """
        unchanged_since = self._changed.get(name, self._found.get(name, math.inf))
        if time.monotonic() - unchanged_since > PATIENCE_SECONDS:
            return True
        return name not in self._changed and time.time() - version.modified / 1e9 > PATIENCE_SECONDS

    def run_ended(self) -> None:
        """Log the files that are still waited for, once."""
        waiting, self._waiting = sorted(self._waiting.items()), {}
        for name, reason in waiting[:MAX_LISTED]:
            logger.warning("%s: %s was not read: %s", self.name, printable_name(name), reason)
        if len(waiting) > MAX_LISTED:
            logger.warning("%s: %d more files were not read", self.name, len(waiting) - MAX_LISTED)

    def _give_up(self, name: str, version: _Version, error: ImageError) -> bool:
        """Return whether a file that cannot be read is to be skipped.

        If not, it is tried again.
        """
        failed = self._failed.get(name)
        if failed is None or failed[0] != version:
            failed = self._failed[name] = version, time.monotonic()
        if isinstance(error.__context__, OSError):  # a share that is about to vanish
            return time.monotonic() - failed[1] > PATIENCE_SECONDS
        return self._is_settled(name, version)

    def _read(self, name: str, version: _Version, number: int) -> Frame | None:
        shown = printable_name(name)
        try:
            entry = file_entry(self._folder / name, shown)
            image = decode_entry(entry, self._development, self._gate, self._journal)
        except CalibrationFrameError as error:
            self._done[name] = version
            if self._list:
                self._list.append(name, version)
            self._log.calibration_frame(error)
            return None
        except ImageError as error:
            if not self._give_up(name, version, error):
                self._waiting[name] = error.reason
                return None
            self._waiting.pop(name, None)
            self._done[name] = version
            self.bad += 1
            logger.warning("skipped %s", error)
            return None
        self._done[name] = version
        self._waiting.pop(name, None)
        self._names[shown] = name
        self._log.remarks(shown, image)
        return image_frame(image, datetime.datetime.fromtimestamp(version.modified / 1e9, datetime.UTC), shown, number)


class ProcessedList:
    """A watched folder's processed files, as JSON lines in the output folder.

    Args:
        out: the output folder.
        folder: the watched folder; each has a list of its own.
    """

    def __init__(self, out: Path, folder: Path) -> None:
        mark = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
        self._path = out / f"watched-{mark}.jsonl"

    def read(self) -> dict[str, _Version]:
        """Return name and version of each file.

        A last line that was cut short by a crash is ignored.
        """
        done = {}
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                    done[record["file"]] = _Version(record["size"], record["modified"])
                except (ValueError, KeyError, TypeError):
                    continue
        return done

    def append(self, name: str, version: _Version) -> None:
        """Add a file; it is on the disk when this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"file": name, "size": version.size, "modified": version.modified})
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
