"""The latest frame: as JPEG, as a stream, and with the tracked objects as JSON."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse

from .event_routes import NOT_FOUND, Responses
from .mjpeg import MjpegStreams
from .preview import Preview
from .schemas import ObjectRecord, View
from .token import Token

MAX_WAIT = 10.0
"""Seconds for which a request for the next image may wait."""
CHECK_INTERVAL = 0.05
STREAM: Responses = {
    200: {"content": {"multipart/x-mixed-replace": {}}, "description": "JPEG images until the run ends."},
}
JPEG: Responses = {**NOT_FOUND, 200: {"content": {"image/jpeg": {}}}}


def add_view_routes(app: FastAPI, preview: Preview, token: Token | None) -> None:
    """Add the routes of the latest frame."""
    _add_view(app, preview)
    _add_stream(app, preview, token)


def _add_view(app: FastAPI, preview: Preview) -> None:
    @app.get("/api/view")
    async def view(
        after: Annotated[int, Query(ge=0, description="Number of the image that the client shows.")] = 0,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT, description="Seconds to wait for a newer one.")] = 0.0,
    ) -> View:
        """Return number, age and tracked objects of the latest image.

        The answer waits until it is newer than `after`, or for at most `wait` seconds.
        """
        end = time.monotonic() + wait
        while preview.image_number <= after and not preview.closed and time.monotonic() < end:
            preview.mark_watched()
            await asyncio.sleep(CHECK_INTERVAL)
        latest = preview.view()
        return View(
            image=latest.image, width=latest.width, height=latest.height, age_seconds=latest.age,
            objects=[ObjectRecord(**asdict(entry)) for entry in latest.objects],
        )  # fmt: skip

    @app.get("/view.jpg", response_class=Response, responses=JPEG)
    def plain_frame() -> Response:
        """Return the latest frame without detections, or the detector's inputs with them."""
        return _jpeg(preview.jpeg(drawn=False))


def _add_stream(app: FastAPI, preview: Preview, token: Token | None) -> None:
    streams = MjpegStreams(preview)

    @app.get("/frame.jpg", response_class=Response, responses=JPEG)
    def latest_frame() -> Response:
        """Return the latest frame, or the detector's inputs, with detections drawn."""
        return _jpeg(preview.jpeg())

    @app.get("/stream.mjpg", response_class=Response, responses=STREAM)
    async def stream(request: Request) -> Response:
        """Stream the frames with their detections drawn, as motion JPEG.

        A session that ends ends its streams.
        """
        by_session = token is not None and token.session(request.headers) is not None
        is_allowed = (lambda: token.session(request.headers) is not None) if token and by_session else lambda: True
        return streams.open(is_allowed) or JSONResponse({"detail": "too many viewers"}, 429, {"Retry-After": "10"})


def _jpeg(content: bytes | None) -> Response:
    if content is None:
        raise HTTPException(404, "there is no frame yet")
    return Response(content, media_type="image/jpeg")
