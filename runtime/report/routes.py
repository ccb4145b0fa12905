"""The report of a night on the live page's server."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Response

from ...errors import UsageError
from .night import Place, night_from_name, place_of
from .page import STYLE, latest_night, read_night, report_page

CACHE_SECONDS = 10.0
"""Seconds for which a page is sent again: reading a long night takes about a second."""
NightName = Annotated[
    str | None,
    Query(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="Date of the evening; default: the latest night."),
]


def add_report_routes(app: FastAPI, folder: Path, place: Place | None) -> None:
    """Add the page of a night, and its style.

    Args:
        app: of the run.
        folder: the output folder.
        place: of the telescope, None if unknown.
    """
    lock = threading.Lock()
    cache: dict[str | None, tuple[float, str]] = {}

    @app.get(
        "/report",
        response_class=Response,
        responses={
            200: {"content": {"text/html": {}}, "description": "The page."},
            404: {"description": "There is nothing of this night."},
        },
    )
    def report(night: NightName = None) -> Response:
        """Return the report of a night as a page: objects, maps, curves, faults."""
        with lock:  # one after another: each may read hundreds of MiB
            made, page = cache.get(night, (0.0, ""))
            if time.monotonic() - made > CACHE_SECONDS or not page:
                page = _page(folder, night, place)
                cache.clear()
                cache[night] = time.monotonic(), page
        return Response(page, media_type="text/html; charset=utf-8")

    @app.get("/report.css", include_in_schema=False)
    def style() -> Response:
        return Response(STYLE.read_bytes(), media_type="text/css")


def _page(folder: Path, name: str | None, place: Place | None) -> str:
    try:
        place = place or place_of(folder)
        night = night_from_name(name, place) if name else latest_night(folder, place)
        return report_page(read_night(folder, night, place), is_served=True)
    except UsageError as error:
        raise HTTPException(404, str(error)) from error
