"""The application: the page and the JSON API."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from ... import __version__
from ...errors import UserError
from ..events import queries as kept
from ..events.event import OBJECT
from ..monitoring.controls import Controls
from ..monitoring.health import PAUSED, RUNNING, RunMonitor
from .access_control import PUBLIC_PATHS, AccessMiddleware
from .metrics import metrics_text
from .mjpeg import MjpegStreams
from .preview import Preview
from .schemas import (
    ControlsState,
    ControlsUpdate,
    ErrorResponse,
    EventRecord,
    Health,
    Login,
    Sample,
    SavedFrame,
    Status,
)
from .token import COOKIE, Token

PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"), "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"), "/login": ("login.html", "text/html; charset=utf-8"),
    "/login.js": ("login.js", "text/javascript"), "/icon.svg": ("icon.svg", "image/svg+xml"),
}  # fmt: skip
EventId = Annotated[str, InPath(pattern=r"^[0-9a-f]{8}-[0-9]{5,9}$")]
CropName = Annotated[str, InPath(pattern=r"^[0-9]{5,9}\.png$")]
SavedName = Annotated[str, InPath(pattern=r"^[0-9]{8}T[0-9]{9}Z\.png$")]
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The request is no text."},
    401: {"model": ErrorResponse, "description": "A token is wanted."},
    403: {"model": ErrorResponse, "description": "Another page, or another name of this server."},
    413: {"model": ErrorResponse, "description": "The request is too large."},
}
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorResponse, "description": "There is none."}}
PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "The picture."}}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"multipart/x-mixed-replace": {}}, "description": "Pictures, without an end."},
    429: {"model": ErrorResponse, "description": "Too many are watching."},
}


def create_app(
    folder: Path, run: int, source: str, pulse: RunMonitor, controls: Controls, preview: Preview,
    token: Token | None = None, hosts: frozenset[str] | None = None,
) -> ASGIApp:  # fmt: skip
    """Make the application of a run.

    Args:
        folder: the output folder.
        run: the run's number.
        source: the run's source, to be shown.
        token: demanded of every request; None on loopback.
        hosts: see `Guard`.
    """
    app = FastAPI(
        title="galaxy-edge", version=__version__, docs_url=None, redoc_url=None, responses=REFUSALS,
        description="A run that goes on.",
    )  # fmt: skip
    app.add_exception_handler(UserError, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)
    _add_status(app, run, source, pulse, controls, preview)
    _add_events(app, folder, run)
    _add_page(app, preview, token)
    if token is not None:
        _tell_of_token(app.openapi())
    return AccessMiddleware(app, token, hosts)


def _add_status(app: FastAPI, run: int, source: str, pulse: RunMonitor, controls: Controls, preview: Preview) -> None:
    @app.get("/api/status")
    def status() -> Status:
        """Tell how the run is doing."""
        return Status(run=run, source=source, **pulse.stats())

    @app.get("/api/history")
    def history() -> list[Sample]:
        """Tell rate, timings and temperature of the last ten minutes, a sample a second."""
        return [Sample(**sample) for sample in pulse.history()]

    @app.get("/api/controls")
    def settings() -> ControlsState:
        """Tell the controls as they stand."""
        return ControlsState(paused=controls.paused, min_score=controls.min_score, stack=controls.stack)

    @app.post("/api/controls", responses={409: {"model": ErrorResponse, "description": "The run does not stack."}})
    def change(wanted: ControlsUpdate) -> ControlsState:
        """Change controls."""
        if wanted.stack is not None and controls.stack is None:
            raise HTTPException(409, "this run does not stack: its pictures do not follow from each other")
        if wanted.stack is not None:
            controls.stack = wanted.stack
        if wanted.min_score is not None:
            controls.min_score = wanted.min_score
        if wanted.paused is not None:
            controls.paused = wanted.paused
        return settings()

    @app.post(
        "/api/frames", status_code=202, responses={409: {"model": ErrorResponse, "description": "The disk is full."}}
    )
    def save_frame() -> SavedFrame:
        """Keep the next frame."""
        name = controls.save_frame()
        if name is None:
            raise HTTPException(409, "nothing can be kept now: the disk is full")
        return SavedFrame(name=name)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", responses={503: {"model": Health, "description": "No frame comes."}})
    def health(response: Response) -> Health:
        """Tell whether frames come; a paused run is healthy while they do."""
        state = pulse.state()
        response.status_code = 200 if state in (RUNNING, PAUSED) else 503
        return Health(state=state)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """Tell the figures to Prometheus."""
        return Response(metrics_text(pulse), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/frame.jpg", response_class=Response, responses={**MISSING, 200: {"content": {"image/jpeg": {}}}})
    def latest() -> Response:
        """Show the latest frame, with what was found."""
        jpeg = preview.jpeg()
        if jpeg is None:
            raise HTTPException(404, "there is no frame yet")
        return Response(jpeg, media_type="image/jpeg")


def _add_events(app: FastAPI, folder: Path, run: int) -> None:
    @app.get("/api/events")
    def events(
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        all_runs: bool = False,
        name: Annotated[str | None, Query(alias="class", max_length=100, description="Or the beginning of it.")] = None,
    ) -> list[EventRecord]:
        """List the last events of this run, or of all runs into its folder, the latest last."""
        found = kept.query_events(
            folder, kept.Query(run=None if all_runs else run, kind=OBJECT, name=name, limit=limit)
        )
        return [EventRecord(**record) for record in found]

    @app.get("/api/events/{event}", responses=MISSING)
    def event(event: EventId) -> EventRecord:
        """Tell all that is known of an event."""
        try:
            return EventRecord(**kept.get_event(folder, event))
        except kept.NoSuchEvent as problem:
            raise HTTPException(404, f"there is no event {event}") from problem

    @app.get("/crops/{number}/{name}", response_class=Response, responses={**MISSING, **PICTURE})
    def crop(number: Annotated[int, InPath(ge=1, le=10**9)], name: CropName) -> Response:
        """Show the best view of an object."""
        return _picture(folder / "crops", f"{number:04d}/{name}")

    @app.get("/saved/{name}", response_class=Response, responses={**MISSING, **PICTURE})
    def saved(name: SavedName) -> Response:
        """Show a frame that was kept."""
        return _picture(folder / "saved", name)


def _add_page(app: FastAPI, preview: Preview, token: Token | None) -> None:
    streams = MjpegStreams(preview)

    @app.get("/stream.mjpg", response_class=Response, responses=STREAM)
    async def stream() -> Response:
        """Show the run as it goes on, with what was found, as motion JPEG."""
        return streams.open() or JSONResponse({"detail": "too many are watching"}, 429, {"Retry-After": "10"})

    @app.post("/login", status_code=204, responses={401: {"model": ErrorResponse, "description": "A wrong token."}})
    def login(given: Login, response: Response) -> None:
        """Exchange the token for a cookie."""
        if token is None:
            return
        if not token.fits(given.token):
            raise HTTPException(401, "this is not the token")
        response.set_cookie(COOKIE, token.cookie, httponly=True, samesite="strict", max_age=30 * 86400)

    content = resources.files(__package__) / "page"
    for place, (name, kind) in PAGE.items():
        shown = _shown((content / name).read_bytes(), kind)
        app.add_api_route(place, shown, methods=["GET", "HEAD"], include_in_schema=False)


def _tell_of_token(document: dict[str, Any]) -> None:
    """Write into the API's document how the token is given, and where none is wanted."""
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "The token."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "What /login gives for the token."},
    }
    document["components"]["securitySchemes"] = schemes
    document["security"] = [{name: []} for name in schemes]
    for path in PUBLIC_PATHS & document["paths"].keys():
        for operation in document["paths"][path].values():
            operation["security"] = []


def _shown(body: bytes, kind: str) -> Callable[[], Response]:
    """Make the function that answers with a part of the page."""
    return lambda: Response(body, media_type=kind)


def _unavailable(request: Request, problem: Exception) -> Response:
    """Answer where the event file cannot be read now."""
    return JSONResponse({"detail": str(problem)}, 503)


def _invalid(request: Request, problem: Exception) -> Response:
    """Answer what is wrong with a request, without what was sent: that need not be JSON (NaN)."""
    assert isinstance(problem, RequestValidationError)
    wrong = [{key: one[key] for key in ("type", "loc", "msg")} for one in problem.errors()]
    return JSONResponse({"detail": wrong}, 422)


def _picture(folder: Path, name: str) -> Response:
    """Send a picture of a folder; one that leads out of it, through a link, is not there."""
    path = folder / name
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise HTTPException(404, "there is no such picture")
    # Read at once: a better view may take its place while it is sent.
    return Response(path.read_bytes(), media_type="image/png")
