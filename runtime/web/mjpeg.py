"""Motion JPEG: the preview, picture after picture, to a limited number of viewers."""

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
    """Gives out streams, `MAX_CONNECTIONS` at a time."""

    def __init__(self, preview: Preview, most: int = MAX_STREAMS) -> None:
        self._preview = preview
        self._free = most

    def open(self) -> StreamingResponse | None:
        """Open a stream; None where there are too many."""
        if self._free == 0:
            return None
        self._free -= 1
        return _Stream(self._pictures(), self._done)

    def _done(self) -> None:
        self._free += 1

    async def _pictures(self) -> AsyncIterator[bytes]:
        shown = -1
        while not self._preview.closed:
            self._preview.ask()
            if self._preview.number != shown:
                shown = self._preview.number
                jpeg = await run_in_threadpool(self._preview.jpeg)
                if jpeg:
                    # The next boundary at once, so that a browser shows this picture now and not with the next.
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                    yield head + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()
            await asyncio.sleep(1 / MAX_RATE)


class _Stream(StreamingResponse):
    """A stream that gives its place back however it ends."""

    def __init__(self, pictures: AsyncIterator[bytes], done: Callable[[], None]) -> None:
        super().__init__(pictures, media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self._done = done

    async def stream_response(self, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": f"--{BOUNDARY}\r\n".encode(), "more_body": True})
            async for chunk in self.body_iterator:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            self._done()
