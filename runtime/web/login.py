"""Log in to the live page and out of it, and end sessions."""

from __future__ import annotations

import datetime
import math
from typing import Annotated

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi import Path as PathParameter

from ..system.utc_time import utc_text
from .access_control import client_address, too_many_failures
from .pairing import LIFETIME as PAIRING_SECONDS
from .pairing import pairing_link, qr_modules
from .schemas import EndedSessions, ErrorResponse, Login, Pairing, SessionRecord
from .sessions import LIFETIME
from .token import COOKIE, Token

SessionId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{8}$")]


def add_login_routes(app: FastAPI, token: Token | None) -> None:
    """Add the routes of logins and sessions; without a token, there are none to end."""
    _add_login(app, token)
    _add_sessions(app, token)
    _add_pairing(app, token)


def _add_login(app: FastAPI, token: Token | None) -> None:

    @app.post("/login", status_code=204, responses={401: {"model": ErrorResponse, "description": "Wrong token."}})
    def login(credentials: Login, request: Request, response: Response) -> None:
        """Exchange the token for a cookie."""
        if token is None:
            return
        client = client_address(request.scope)
        matches, wait = token.attempt(credentials.token, client, codes=True)
        if wait:
            raise HTTPException(429, too_many_failures(wait), {"Retry-After": str(math.ceil(wait))})
        if not matches:
            raise HTTPException(401, "this is not the token")
        cookie = token.sessions.begin(client)
        response.set_cookie(
            COOKIE, cookie, httponly=True, samesite="strict", max_age=LIFETIME, secure=request.url.scheme == "https"
        )

    @app.post("/logout", status_code=204)
    def logout(request: Request, response: Response) -> None:
        """End the session of this browser."""
        session = token.session(request.headers) if token else None
        if token and session:
            token.sessions.end(session.id)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def _add_pairing(app: FastAPI, token: Token | None) -> None:
    @app.post("/api/pairing", responses={409: {"model": ErrorResponse, "description": "No token is required."}})
    def pair(request: Request) -> Pairing:
        """Return a link that logs in one browser, once, and its QR code."""
        if token is None:
            raise HTTPException(409, "this page requires no token: open its address on this computer")
        link = pairing_link(str(request.base_url), token.pairing.create())
        rows = ["".join("1" if dark else "0" for dark in row) for row in qr_modules(link)]
        return Pairing(link=link, expires_seconds=PAIRING_SECONDS, qr=rows)


def _add_sessions(app: FastAPI, token: Token | None) -> None:
    @app.get("/api/sessions")
    def list_sessions(request: Request) -> list[SessionRecord]:
        """List the browsers that are logged in, oldest first."""
        if token is None:
            return []
        current = token.session(request.headers)
        return [
            SessionRecord(
                id=session.id, client=session.client, current=session == current,
                created=utc_text(datetime.datetime.fromtimestamp(session.created, datetime.UTC), "seconds"),
            )
            for session in token.sessions.active()
        ]  # fmt: skip

    @app.delete("/api/sessions")
    def end_sessions() -> EndedSessions:
        """End all sessions, that of this request included."""
        return EndedSessions(ended=token.sessions.end() if token else 0)

    @app.delete(
        "/api/sessions/{session}", responses={404: {"model": ErrorResponse, "description": "There is no such session."}}
    )
    def end_session(session: SessionId) -> EndedSessions:
        """End a session."""
        ended = token.sessions.end(session) if token else 0
        if not ended:
            raise HTTPException(404, f"there is no session {session}")
        return EndedSessions(ended=ended)
