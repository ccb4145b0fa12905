"""The web application: live page, JSON API, video stream and metrics."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from ... import __version__
from ...errors import UserError
from ..events import queries
from ..events.event import OBJECT
from ..monitoring.controls import Controls, TooSoon
from ..monitoring.health import PAUSED, RUNNING, RunMonitor
from .access_control import PUBLIC_PATHS, AccessMiddleware
from .login import add_login_routes
from .metrics import metrics_text
from .mjpeg import MjpegStreams
from .preview import Preview
from .schemas import (
    ControlsState,
    ControlsUpdate,
    ErrorResponse,
    EventRecord,
    Health,
    Sample,
    SavedFrame,
    Status,
)
from .token import COOKIE, Token

PAGE_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"), "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"), "/login": ("login.html", "text/html; charset=utf-8"),
    "/login.js": ("login.js", "text/javascript"), "/icon.svg": ("icon.svg", "image/svg+xml"),
}  # fmt: skip
"""URL path -> file in ``page/`` and its media type."""
EventId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{8}-[0-9]{5,9}$")]
CropName = Annotated[str, PathParameter(pattern=r"^[0-9]{5,9}\.png$")]
SavedName = Annotated[str, PathParameter(pattern=r"^[0-9]{8}T[0-9]{9}Z\.png$")]
Responses = dict[int | str, dict[str, Any]]
"""Documented responses by status, as FastAPI takes them."""
ERRORS: Responses = {
    400: {"model": ErrorResponse, "description": "The request is not valid text."},
    401: {"model": ErrorResponse, "description": "A token is required."},
    403: {"model": ErrorResponse, "description": "The request is from another site or uses another host name."},
    413: {"model": ErrorResponse, "description": "The request is too large."},
    429: {"model": ErrorResponse, "description": "Too many failed logins, or too many viewers."},
}
NOT_FOUND: Responses = {404: {"model": ErrorResponse, "description": "Not found."}}
PNG: Responses = {200: {"content": {"image/png": {}}, "description": "The image."}}
STREAM: Responses = {
    200: {"content": {"multipart/x-mixed-replace": {}}, "description": "JPEG images until the run ends."},
}


def create_app(
    folder: Path, run: int, source: str, monitor: RunMonitor, controls: Controls, preview: Preview,
    token: Token | None = None, hosts: frozenset[str] | None = None,
) -> ASGIApp:  # fmt: skip
    """Create the web application of a run.

    Args:
        folder: the output folder.
        run: the run's number.
        source: name of the run's source, to be shown.
        monitor, controls, preview: of the run.
        token: required of every request; None on loopback.
        hosts: allowed host names, see `AccessMiddleware`.
    """
    app = FastAPI(
        title="galaxy-edge", version=__version__, docs_url=None, redoc_url=None, responses=ERRORS,
        description="A running galaxy-edge: its state, its events and its controls.",
    )  # fmt: skip
    app.add_exception_handler(UserError, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    _add_status_routes(app, run, source, monitor)
    _add_control_routes(app, controls)
    _add_health_routes(app, monitor, token)
    _add_event_routes(app, folder, run)
    _add_view_routes(app, preview, token)
    _add_page_routes(app)
    add_login_routes(app, token)
    if token is not None:
        _document_security(app.openapi())
    return AccessMiddleware(app, token, hosts)


def _add_status_routes(app: FastAPI, run: int, source: str, monitor: RunMonitor) -> None:
    @app.get("/api/status")
    def status() -> Status:
        """Return the state and figures of the run."""
        return Status(run=run, source=source, **monitor.stats())

    @app.get("/api/history")
    def history() -> list[Sample]:
        """Return rate, timings and temperature, each second of the last ten minutes."""
        return [Sample(**sample) for sample in monitor.history()]


def _add_control_routes(app: FastAPI, controls: Controls) -> None:
    @app.get("/api/controls")
    def read_controls() -> ControlsState:
        """Return the current values of the controls."""
        return ControlsState(
            paused=controls.paused,
            min_score=controls.min_score,
            stack=controls.stack,
            show_inputs=controls.show_inputs,
        )

    @app.post("/api/controls", responses={409: {"model": ErrorResponse, "description": "The run does not stack."}})
    def update_controls(update: ControlsUpdate) -> ControlsState:
        """Change controls; return their new values."""
        if update.stack is not None and controls.stack is None:
            raise HTTPException(409, "this run does not stack: its images are not of one continuous view")
        if update.stack is not None:
            controls.stack = update.stack
        if update.min_score is not None:
            controls.min_score = update.min_score
        if update.show_inputs is not None:
            controls.show_inputs = update.show_inputs
        if update.paused is not None:
            controls.paused = update.paused
        return read_controls()

    @app.post(
        "/api/frames",
        status_code=202,
        responses={
            409: {"model": ErrorResponse, "description": "The disk is full."},
            429: {"model": ErrorResponse, "description": "A frame was saved just before."},
        },
    )
    def save_frame() -> SavedFrame:
        """Save the next frame."""
        try:
            name = controls.save_frame()
        except TooSoon:
            raise HTTPException(429, "a frame was saved just before", {"Retry-After": "1"}) from None
        if name is None:
            raise HTTPException(409, "nothing can be saved now: the disk is full")
        return SavedFrame(name=name)


def _add_health_routes(app: FastAPI, monitor: RunMonitor, token: Token | None) -> None:
    @app.head("/healthz", include_in_schema=False)
    @app.get(
        "/healthz", responses={503: {"model": Health, "description": "No frames arrive, or nothing can be written."}}
    )
    def health(response: Response) -> Health:
        """Return whether frames arrive and are written.

        A paused run is healthy while they do.
        """
        state = monitor.state()
        response.status_code = 200 if state in (RUNNING, PAUSED) else 503
        return Health(state=state)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """Return the metrics for Prometheus."""
        return Response(
            metrics_text(monitor, token.failures.count if token else 0),
            media_type="text/plain; version=0.0.4; charset=utf-8",
        )


def _add_event_routes(app: FastAPI, folder: Path, run: int) -> None:
    @app.get("/api/events")
    def list_events(
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        all_runs: bool = False,
        name: Annotated[
            str | None, Query(alias="class", max_length=100, description="A class, or the beginning of its name.")
        ] = None,
    ) -> list[EventRecord]:
        """List the latest events of this run, or of all runs, in order of time.

        All runs are those in this run's output folder.
        """
        query = queries.Query(run=None if all_runs else run, kind=OBJECT, name=name, limit=limit)
        return [EventRecord(**event.to_dict()) for event in queries.query_events(folder, query)]

    @app.get("/api/events/{event}", responses=NOT_FOUND)
    def get_event(event: EventId) -> EventRecord:
        """Return everything that is stored about an event."""
        try:
            return EventRecord(**queries.get_event(folder, event).to_dict())
        except queries.NoSuchEvent as error:
            raise HTTPException(404, f"there is no event {event}") from error

    @app.get("/crops/{number}/{name}", response_class=Response, responses={**NOT_FOUND, **PNG})
    def crop(number: Annotated[int, PathParameter(ge=1, le=10**9)], name: CropName) -> Response:
        """Return the best image of an object."""
        return _png_file(folder / "crops", f"{number:04d}/{name}")

    @app.get("/saved/{name}", response_class=Response, responses={**NOT_FOUND, **PNG})
    def saved(name: SavedName) -> Response:
        """Return a saved frame."""
        return _png_file(folder / "saved", name)


def _add_view_routes(app: FastAPI, preview: Preview, token: Token | None) -> None:
    streams = MjpegStreams(preview)

    @app.get("/frame.jpg", response_class=Response, responses={**NOT_FOUND, 200: {"content": {"image/jpeg": {}}}})
    def latest_frame() -> Response:
        """Return the latest frame, or the detector's inputs, with detections drawn."""
        jpeg = preview.jpeg()
        if jpeg is None:
            raise HTTPException(404, "there is no frame yet")
        return Response(jpeg, media_type="image/jpeg")

    @app.get("/stream.mjpg", response_class=Response, responses=STREAM)
    async def stream(request: Request) -> Response:
        """Stream the frames with their detections drawn, as motion JPEG.

        A session that ends ends its streams.
        """
        by_session = token is not None and token.session(request.headers) is not None
        is_allowed = (lambda: token.session(request.headers) is not None) if token and by_session else lambda: True
        return streams.open(is_allowed) or JSONResponse({"detail": "too many viewers"}, 429, {"Retry-After": "10"})


def _add_page_routes(app: FastAPI, paths: Collection[str] = PAGE_FILES.keys()) -> None:
    files = resources.files(__package__) / "page"
    for path in paths:
        name, media_type = PAGE_FILES[path]
        endpoint = _static_endpoint((files / name).read_bytes(), media_type)
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False)


def add_login_files(app: FastAPI) -> None:
    """Add the files that another application's page needs: style, icon and login."""
    _add_page_routes(app, PAGE_FILES.keys() - {"/", "/page.js"})


def _document_security(document: dict[str, Any]) -> None:
    """Document in an OpenAPI document how the token is given.

    Paths that do not require it are marked.
    """
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "The token."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by /login for the token."},
    }
    document["components"]["securitySchemes"] = schemes
    document["security"] = [{name: []} for name in schemes]
    for path in PUBLIC_PATHS & document["paths"].keys():
        for operation in document["paths"][path].values():
            operation["security"] = []


def _static_endpoint(body: bytes, media_type: str) -> Callable[[], Response]:
    """Return an endpoint that always answers with the same body."""
    return lambda: Response(body, media_type=media_type)


def _unavailable(request: Request, error: Exception) -> Response:
    """Answer 503 when the event file cannot be read."""
    return JSONResponse({"detail": str(error)}, 503)


def _invalid_request(request: Request, error: Exception) -> Response:
    """Answer 422 with what is wrong, without the input, which may not be valid JSON.

    A NaN, for example, is not.
    """
    assert isinstance(error, RequestValidationError)
    detail = [{key: entry[key] for key in ("type", "loc", "msg")} for entry in error.errors()]
    return JSONResponse({"detail": detail}, 422)


def _png_file(folder: Path, name: str) -> Response:
    """Return a PNG file of a folder.

    A symbolic link that leads out of it is not found.
    """
    path = folder / name
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise HTTPException(404, "there is no such image")
    # Read at once: a better view may replace the file while it is sent.
    return Response(path.read_bytes(), media_type="image/png")
