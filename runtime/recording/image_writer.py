"""The thread that writes crops and other images, flushed in batches."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable

from .heartbeat import Heartbeat
from .open_folder import FolderOptions, OpenFolder
from .pending_images import PendingCrop, PendingImage, PendingImages
from .row_writer import RowWriter

logger = logging.getLogger(__name__)

BATCH_BYTES = 8 << 20


class ImageWriter:
    """The writer of images.

    Crops that are on the disk are passed to the thread of the rows, which enters them.

    Args:
        rows: has the folder, and enters crops.
        queue: what waits.
        options: the folder was opened with.
        on_error: called after each batch with why a part of it could not be written, or "".

    Attributes:
        heartbeat: of the calls to the disk.
        wake: set to write at once.
    """

    def __init__(
        self, rows: RowWriter, queue: PendingImages, options: FolderOptions, on_error: Callable[[str], None]
    ) -> None:
        self._rows, self._queue, self._options, self._on_error = rows, queue, options, on_error
        self._batch_bytes = min(BATCH_BYTES, options.quota // 8) if options.quota else BATCH_BYTES
        self._scanned: OpenFolder | None = None
        self._deadline: float | None = None
        self.heartbeat = Heartbeat()
        self.wake = threading.Event()

    def end(self, deadline: float) -> None:
        """Write the remaining images, at most until a time of the monotonic clock."""
        self._deadline = deadline
        self.wake.set()

    def work(self) -> None:
        """Write until the end; runs in the thread."""
        while self._deadline is None:
            self.wake.wait(self._options.limits.batch_seconds)
            self.wake.clear()
            self._write_batch()
            while len(self._queue) and self._deadline is None:
                self._write_batch()
        while len(self._queue) and time.monotonic() < self._deadline:
            self._write_batch()

    def _write_batch(self) -> None:
        folder = self._rows.folder
        with self.heartbeat:
            if self._scanned is not folder:
                folder.files.scan(folder.number)
                self._scanned = folder
            staged, error = self._stage(folder)
            try:
                published = folder.files.publish()
            except OSError as cause:
                error = cause.strerror or str(cause)
                published = []
        for image in staged:
            if image.name not in published:
                self._queue.failed(image)
                continue
            self._queue.written(1)
            if isinstance(image, PendingCrop):
                self._rows.enter_crop(folder, image.event.number, image.name)
        self._on_error(error)

    def _stage(self, folder: OpenFolder) -> tuple[list[PendingImage | PendingCrop], str]:
        """Write images under temporary names until the batch is full.

        Return them, and an error or "".
        """
        staged: list[PendingImage | PendingCrop] = []
        error = ""
        size = 0
        until = time.monotonic() + self._options.limits.image_seconds
        try:
            folder.files.delete_oldest()
        except OSError as cause:
            error = cause.strerror or str(cause)
        while time.monotonic() < until and size < self._batch_bytes and (image := self._queue.take()):
            try:
                for name, content in image.encoded():
                    folder.files.stage(name, content)
                    size += len(content)
                staged.append(image)
            except OSError as cause:
                self._queue.failed(image)
                if cause.errno == errno.EFBIG:
                    logger.warning("%s is not written: %s", image.name, cause.strerror)
                else:
                    error = cause.strerror or str(cause)
        return staged, error
