"""The static files of the page."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from fastapi import FastAPI, Response

from .access_control import PUBLIC_PATHS

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml", ".png": "image/png", ".webmanifest": "application/manifest+json",
}  # fmt: skip
PAGES = {"index.html": "/", "login.html": "/login", "offline.html": "/offline"}
"""URL path of each document; all other files have their own names."""


def add_page_files(app: FastAPI, public_only: bool = False) -> None:
    """Add the files of the page.

    Args:
        app: serves them.
        public_only: whether only the files that need no token are added, for another application's login page.
    """
    for file in (resources.files(__package__) / "page").iterdir():
        path = PAGES.get(file.name, f"/{file.name}")
        media_type = MEDIA_TYPES.get(f".{file.name.rpartition('.')[2]}")
        if media_type and (path in PUBLIC_PATHS or not public_only):
            endpoint = _static_endpoint(file.read_bytes(), media_type)
            app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False)


def _static_endpoint(body: bytes, media_type: str) -> Callable[[], Response]:
    """Return an endpoint that always answers with the same body."""
    return lambda: Response(body, media_type=media_type)
