"""The events of a run, their images, and what people say about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Response
from fastapi import Path as PathParameter

from ...models.naming import PLAIN_NAMES, display_name, plain_name
from ..events import queries, reviews
from ..events.event_row import EventRow, as_csv
from .schemas import ErrorResponse, EventRecord, ReviewRecord, ReviewUpdate

EventId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{8}-[0-9]{5,9}$")]
CropName = Annotated[str, PathParameter(pattern=r"^[0-9]{5,9}\.png$")]
SavedName = Annotated[str, PathParameter(pattern=r"^[0-9]{8}T[0-9]{9}Z\.png$")]
RunNumber = Annotated[int, PathParameter(ge=1, le=10**9)]
Limit = Annotated[int, Query(ge=1, le=500)]
Responses = dict[int | str, dict[str, Any]]
"""Documented responses by status, as FastAPI takes them."""
NOT_FOUND: Responses = {404: {"model": ErrorResponse, "description": "Not found."}}
PNG: Responses = {200: {"content": {"image/png": {}}, "description": "The image."}}


def add_event_routes(app: FastAPI, folder: Path, run: int) -> None:
    """Add the routes of events: lists, one event, its images, reviews."""
    _add_lists(app, folder, run)
    _add_event(app, folder)
    _add_images(app, folder)


def _add_lists(app: FastAPI, folder: Path, run: int) -> None:
    @app.get("/api/events")
    def list_events(
        limit: Limit = 50,
        all_runs: bool = False,
        name: Annotated[
            str | None, Query(alias="class", max_length=100, description="A class, or the beginning of its name.")
        ] = None,
    ) -> list[EventRecord]:
        """List the latest events of this run, or of all runs, in order of time.

        All runs are those in this run's output folder.
        """
        query = queries.Query(run=None if all_runs else run, is_in_sky=True, name=name, limit=limit)
        verdicts = {review.event: review.verdict for review in reviews.read_reviews(folder)}
        return [_record(event, verdicts.get(event.id)) for event in queries.query_events(folder, query)]

    @app.get("/api/names")
    def class_names() -> dict[str, str]:
        """Return the names of galaxies in plain words, by class or displayed name."""
        return PLAIN_NAMES

    @app.get("/api/events.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
    def events_table(all_runs: bool = False) -> Response:
        """Return the events of this run, or of all runs, as CSV."""
        query = queries.Query(run=None if all_runs else run, is_in_sky=True)
        headers = {"Content-Disposition": 'attachment; filename="galaxy-edge-events.csv"'}
        return Response(as_csv(queries.query_events(folder, query)), 200, headers, "text/csv; charset=utf-8")


def _add_event(app: FastAPI, folder: Path) -> None:
    @app.get("/api/events/{event}", responses=NOT_FOUND)
    def get_event(event: EventId) -> EventRecord:
        """Return everything that is stored about an event."""
        row = _find(folder, event)
        verdicts = {review.event: review.verdict for review in reviews.read_reviews(folder)}
        return _record(row, verdicts.get(event))

    @app.post("/api/events/{event}/review", responses=NOT_FOUND)
    def review_event(event: EventId, update: ReviewUpdate) -> ReviewRecord:
        """Store whether an event is right, for the next training."""
        row = _find(folder, event)
        if update.name is not None and update.name not in row.probabilities:
            raise HTTPException(404, f"this run has no class '{update.name}'")
        review = reviews.save_review(folder, row, update.verdict, update.name)
        return ReviewRecord(event=event, verdict=update.verdict, **{"class": review.name})

    @app.delete("/api/events/{event}/review", status_code=204, responses=NOT_FOUND)
    def withdraw_review(event: EventId) -> None:
        """Withdraw the answer about an event."""
        reviews.delete_review(folder, _find(folder, event).id)


def _add_images(app: FastAPI, folder: Path) -> None:
    @app.get("/crops/{number}/{name}", response_class=Response, responses={**NOT_FOUND, **PNG})
    def crop(number: RunNumber, name: CropName) -> Response:
        """Return the best image of an object."""
        return _png_file(folder / "crops", f"{number:04d}/{name}")

    @app.get("/saved/{name}", response_class=Response, responses={**NOT_FOUND, **PNG})
    def saved(name: SavedName) -> Response:
        """Return a saved frame."""
        return _png_file(folder / "saved", name)


def _find(folder: Path, event: str) -> EventRow:
    try:
        return queries.get_event(folder, event)
    except queries.NoSuchEvent as error:
        raise HTTPException(404, f"there is no event {event}") from error


def _record(event: EventRow, verdict: str | None) -> EventRecord:
    label = plain_name(display_name(event.name, event.probabilities, event.sure))
    if event.sky and not event.sky.is_galaxy and event.sky.object_kind:
        label = event.sky.object_kind
    return EventRecord(**event.to_dict(), label=label, review=verdict)


def _png_file(folder: Path, name: str) -> Response:
    """Return a PNG file of a folder.

    A symbolic link that leads out of it is not found.
    """
    path = folder / name
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise HTTPException(404, "there is no such image")
    # Read at once: a better view may replace the file while it is sent.
    return Response(path.read_bytes(), media_type="image/png")
