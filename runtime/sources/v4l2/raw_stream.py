"""Read raw images from a V4L2 camera through memory shared with the kernel.

OpenCV opens no camera that has only Bayer formats of more than 8 bits, and gives up after 10 seconds without an image.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import select
from typing import Any

import numpy as np

from ....devices.v4l2 import structures as v4l2
from ....devices.v4l2.device import VideoDevice
from ....errors import ImageError, UsageError
from ..capture import CaptureError, FrameInfo
from ..ffmpeg_limits import check_frame_size
from .raw_formats import RAW_FORMATS

BUFFERS = 3
MIN_TIMEOUT = 10.0
"""Seconds without an image after which a camera counts as lost; more for long exposures."""


class RawStream:
    """A V4L2 camera of grey or mosaic pixels, with an OpenCV capture's interface.

    Its images are (H, W) uint16.

    Args:
        device: set to its format, one of `RAW_FORMATS`; it is closed by `release`.
        name: for messages.
        exposure: seconds of a long exposure.
        header: FITS keywords of its images.

    Attributes:
        info: Bayer pattern and header of the images.

    Raises:
        CaptureError: it does not stream; the device is closed.
        UsageError: its images are too large for the memory.
    """

    def __init__(
        self, device: VideoDevice, name: str, exposure: float = 0.0, header: dict[str, Any] | None = None
    ) -> None:
        self._device = device
        self._timeout = max(MIN_TIMEOUT, 3 * exposure + MIN_TIMEOUT / 2)
        self._memory: list[mmap.mmap] = []
        try:
            pixels = device.get_format()
            self._layout = RAW_FORMATS[pixels.pixelformat]
            self.info = FrameInfo(self._layout.cfa, header=header or {})
            self._shape = pixels.height, pixels.width
            self._stride = max(pixels.bytesperline, self._layout.row_bytes(pixels.width))
            check_frame_size(pixels.width, pixels.height, name)
            self._start()
        except OSError as error:
            self.release()
            raise CaptureError(stream_error(error)) from None
        except ImageError as error:
            self.release()
            raise UsageError(f"{error}; give a smaller size") from None
        except BaseException:
            self.release()
            raise

    def read(self, _: np.ndarray | None = None) -> tuple[bool, np.ndarray | None]:
        """Read an image; False where none arrives in time, or not all of one."""
        buffer = v4l2.Buffer(type=v4l2.CAPTURE, memory=v4l2.MEMORY_MMAP)
        try:
            if not self._await_image():
                return False, None
            self._device.call(v4l2.DEQUEUE_BUFFER, buffer)
            image = self._image(buffer)
            self._device.call(v4l2.QUEUE_BUFFER, buffer)
        except OSError:
            return False, None
        return image is not None, image

    def release(self) -> None:
        """Stop and close the camera."""
        if self._device.file >= 0:
            with contextlib.suppress(OSError):  # a camera that was unplugged has stopped
                fcntl.ioctl(self._device.file, v4l2.STREAM_OFF, ctypes.c_int32(v4l2.CAPTURE))
        for memory in self._memory:
            memory.close()
        self._memory = []
        self._device.close()

    def _start(self) -> None:
        device = self._device
        request = v4l2.RequestBuffers(count=BUFFERS, type=v4l2.CAPTURE, memory=v4l2.MEMORY_MMAP)
        for index in range(device.call(v4l2.REQUEST_BUFFERS, request).count):
            buffer = v4l2.Buffer(index=index, type=v4l2.CAPTURE, memory=v4l2.MEMORY_MMAP)
            device.call(v4l2.QUERY_BUFFER, buffer)
            self._memory.append(
                mmap.mmap(device.file, buffer.length, mmap.MAP_SHARED, mmap.PROT_READ, offset=buffer.offset)
            )
            device.call(v4l2.QUEUE_BUFFER, buffer)
        if not self._memory:
            raise OSError(errno.ENOMEM, "it has no memory for images")
        fcntl.ioctl(device.file, v4l2.STREAM_ON, ctypes.c_int32(v4l2.CAPTURE))

    def _await_image(self) -> bool:
        poll = select.poll()
        poll.register(self._device.file, select.POLLIN)
        events = poll.poll(self._timeout * 1000)
        return bool(events) and bool(events[0][1] & select.POLLIN)

    def _image(self, buffer: v4l2.Buffer) -> np.ndarray | None:
        height, width = self._shape
        size = self._stride * (height - 1) + self._layout.row_bytes(width)  # the last row may have no padding
        if buffer.flags & v4l2.BUFFER_ERROR or min(buffer.bytesused, len(self._memory[buffer.index])) < size:
            return None
        content = self._memory[buffer.index][: self._stride * height]
        flat = np.frombuffer(content.ljust(self._stride * height, b"\0"), np.uint8)
        return self._layout.pixels(flat.reshape(height, self._stride), width)


def stream_error(error: OSError) -> str:
    """Return why a camera does not open or stream, as the rest of a message.

    The message begins with the camera's name.
    """
    if error.errno == errno.EBUSY:
        return "another program holds it"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "permission denied: you may not be in the group video"
    return f"it refuses: {error.strerror or error}"
