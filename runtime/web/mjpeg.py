"""The preview as a motion JPEG stream, for a limited number of viewers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Send

from .preview import MAX_RATE, Preview

MAX_STREAMS = 4
BOUNDARY = "frame"


class MjpegStreams:
    """Open streams of the preview, up to `max_streams` at a time."""

    def __init__(self, preview: Preview, max_streams: int = MAX_STREAMS) -> None:
        self._preview = preview
        self._available = max_streams

    def open(self, is_allowed: Callable[[], bool] = lambda: True) -> StreamingResponse | None:
        """Return a new stream, or None if too many are open.

        It ends when it `is_allowed` no more.
        """
        if self._available == 0:
            return None
        self._available -= 1
        return _MjpegResponse(self._parts(is_allowed), self._release)

    def _release(self) -> None:
        self._available += 1

    async def _parts(self, is_allowed: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield each new image as a part of the multipart body."""
        sent = -1
        while not self._preview.closed and is_allowed():
            self._preview.mark_watched()
            if self._preview.image_number != sent:
                sent = self._preview.image_number
                jpeg = await run_in_threadpool(self._preview.jpeg)
                if jpeg:
                    # The next boundary is sent at once, so that a browser shows this image now and not with the next.
                    header = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                    yield header + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()
            await asyncio.sleep(1 / MAX_RATE)


class _MjpegResponse(StreamingResponse):
    """A streaming response that calls `on_end` however it ends."""

    def __init__(self, parts: AsyncIterator[bytes], on_end: Callable[[], None]) -> None:
        super().__init__(parts, media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self._on_end = on_end

    async def stream_response(self, send: Send) -> None:
        """Send the first boundary, then the parts."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": f"--{BOUNDARY}\r\n".encode(), "more_body": True})
            async for chunk in self.body_iterator:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            self._on_end()
