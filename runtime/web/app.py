"""The web application: live page, JSON API, video stream and metrics."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from ... import __version__
from ...errors import UserError
from ..monitoring.controls import Controls, TooSoon
from ..monitoring.health import PAUSED, RUNNING, RunMonitor
from ..report.night import Place
from ..report.routes import add_report_routes
from .access_control import PUBLIC_PATHS, AccessMiddleware
from .event_routes import Responses, add_event_routes
from .login import add_login_routes
from .metrics import metrics_text
from .page_files import add_page_files
from .preview import Preview
from .schemas import ControlsState, ControlsUpdate, Depth, ErrorResponse, Health, Sample, SavedFrame, Status
from .token import COOKIE, Token
from .view_routes import add_view_routes

ERRORS: Responses = {
    400: {"model": ErrorResponse, "description": "The request is not valid text."},
    401: {"model": ErrorResponse, "description": "A token is required."},
    403: {"model": ErrorResponse, "description": "The request is from another site or uses another host name."},
    413: {"model": ErrorResponse, "description": "The request is too large."},
    429: {"model": ErrorResponse, "description": "Too many failed logins, or too many viewers."},
}


# Many parameters because each is a part of the run that some route shows.
def create_app(
    folder: Path, run: int, source: str, monitor: RunMonitor, controls: Controls, preview: Preview,
    token: Token | None = None, hosts: frozenset[str] | None = None, place: Place | None = None,
) -> ASGIApp:  # fmt: skip
    """Create the web application of a run.

    Args:
        folder: the output folder.
        run: the run's number.
        source: name of the run's source, to be shown.
        monitor, controls, preview: of the run.
        token: required of every request; None on loopback.
        hosts: allowed host names, see `AccessMiddleware`.
        place: of the telescope, for reports; None if unknown.
    """
    app = FastAPI(
        title="galaxy-edge", version=__version__, docs_url=None, redoc_url=None, responses=ERRORS,
        description="A running galaxy-edge: its state, its events and its controls.",
    )  # fmt: skip
    app.add_exception_handler(UserError, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    _add_status_routes(app, folder, run, source, monitor)
    _add_control_routes(app, controls)
    _add_health_routes(app, monitor, token)
    add_event_routes(app, folder, run)
    add_view_routes(app, preview, token)
    add_page_files(app)
    add_report_routes(app, folder, place)
    add_login_routes(app, token)
    if token is not None:
        _document_security(app.openapi())
    return AccessMiddleware(app, token, hosts)


def _add_status_routes(app: FastAPI, folder: Path, run: int, source: str, monitor: RunMonitor) -> None:
    station = socket.gethostname()

    @app.get("/api/status")
    def status() -> Status:
        """Return the state and figures of the run."""
        return Status(
            run=run, source=source, station=station, last_frame_age_seconds=monitor.last_frame_age(),
            writer_failed=monitor.writer_failed, disk_free_bytes=_free_bytes(folder),
            known_objects=monitor.known_objects(), **monitor.stats(),
        )  # fmt: skip

    @app.get("/api/history")
    def history() -> list[Sample]:
        """Return rate, timings and temperature, each second of the last ten minutes."""
        return [Sample(**sample) for sample in monitor.history()]

    @app.get("/api/depth")
    def depth() -> Depth:
        """Return the depth of the solved frames, and which galaxies were found."""
        return Depth(**monitor.depth_report())


def _add_control_routes(app: FastAPI, controls: Controls) -> None:
    @app.get("/api/controls")
    def read_controls() -> ControlsState:
        """Return the current values of the controls."""
        return ControlsState(
            paused=controls.paused,
            min_score=controls.min_score,
            stack=controls.stack,
            show_inputs=controls.show_inputs,
            default_min_score=controls.default_min_score,
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


def _free_bytes(folder: Path) -> int | None:
    """Return the free bytes of the output folder's disk; None if it does not say."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


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
