"""A page with all stations, with token, headers and limits of the live page."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..web.server import Server, browser_url, is_loopback, listen
from ..web.sink import LOOPBACK_HOSTS
from ..web.token import Token, load_or_create_token
from .stations import Fleet, StationRow

if TYPE_CHECKING:
    from starlette.types import ASGIApp

COLUMNS = ("station", "state", "last frame", "frames/s", "deg C", "depth", "events", "version", "bundles", "warnings")
REFRESH_SECONDS = 5


class FleetPage:
    """Serve the table of a fleet from a thread.

    Args:
        fleet: is shown.
        address: ``[HOST:]PORT``.
        token_file: holds the token, which is required off loopback, or wherever this is given; None for
            ``fleet-token`` in the working folder where one is required.

    Attributes:
        url: of the page.
        notes: what the user must know: where the token is.

    Raises:
        UsageError: the address or the token file cannot be used.
    """

    def __init__(self, fleet: Fleet, address: str, token_file: Path | None) -> None:
        bound = listen(address)
        self.url, local = browser_url(bound), is_loopback(bound)
        token, self.notes = None, [f"fleet: {self.url}"]
        if token_file or not local:
            path = token_file or Path("fleet-token")
            text, is_new = load_or_create_token(path)
            token = Token(text)
            self.notes.append(f"its token is {text} (kept in {path})" if is_new else f"its token is in {path}")
        hosts = LOOPBACK_HOSTS if local else None
        self._server = Server(lambda: create_fleet_app(fleet, token, hosts), bound)

    def close(self) -> None:
        """Stop the server."""
        self._server.close()


def create_fleet_app(fleet: Fleet, token: Token | None, hosts: frozenset[str] | None) -> ASGIApp:
    """Create the application: the page at ``/``, the same as JSON at ``/api/fleet``."""
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse

    from ..web.access_control import AccessMiddleware
    from ..web.login import add_login_routes
    from ..web.page_files import add_page_files

    app = FastAPI(title="galaxy-edge fleet", docs_url=None, redoc_url=None)
    add_page_files(app, public_only=True)
    add_login_routes(app, token)

    @app.api_route("/", methods=["GET", "HEAD"], response_class=HTMLResponse)
    def page() -> str:
        return fleet_html(fleet.rows())

    @app.get("/api/fleet")
    def stations() -> dict[str, Any]:
        return fleet.as_dict()

    @app.get("/healthz")
    def health() -> dict[str, str]:
        return {"state": "running"}

    return AccessMiddleware(app, token, hosts)


def fleet_html(rows: list[StationRow]) -> str:
    """Return the page; every text that a station published is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row_cells(row))}</tr>" for row in rows
    )  # fmt: skip
    warnings = sum(len(row.warnings) for row in rows)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>galaxy-edge fleet</title>'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}"><link rel="icon" href="/icon.svg">'
        '<link rel="stylesheet" href="/page.css"></head>'
        f"<body><header><h1>galaxy-edge fleet</h1><p>{len(rows)} stations, {warnings} warnings</p></header>"
        f"<main><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></main></body></html>"
    )


def row_cells(row: StationRow) -> list[str]:
    """Return the cells of a station, one for each of `COLUMNS`."""

    def number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    bundles = ", ".join(f"{name.removeprefix('galaxy-')} {value[:8]}" for name, value in row.bundles.items())
    return [
        row.name, row.state, row.last_frame or "-", number(row.rate, 2), number(row.temperature, 0),
        number(row.depth, 1), str(row.events), row.version or "-", bundles or "-", "; ".join(row.warnings),
    ]  # fmt: skip
