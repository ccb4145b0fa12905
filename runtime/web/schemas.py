"""The types of the API's requests and responses.

Its OpenAPI document is generated from them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..monitoring.health import State

Verdict = Literal["right", "wrong", "not_galaxy"]


class Status(BaseModel):
    """State and figures of the run; see `RunMonitor.stats`."""

    state: State
    source: str
    run: int
    frames: int = Field(ge=0)
    frames_per_second: float
    detections: int = Field(ge=0)
    events: int = Field(ge=0)
    last_frame: str | None
    uptime_seconds: float
    stages: dict[str, float] = Field(description="Median milliseconds by stage.")
    temperature: float | None = Field(description="Processor temperature in degrees Celsius.")
    memory_bytes: int
    evidence_bytes: int
    evidence_stopped: str = Field(description="Why no crops are being written; empty while they are.")
    events_lost: int = Field(ge=0, description="Events that could not be written.")
    images_lost: int = Field(ge=0, description="Images that were dropped, crops included.")
    lines_lost: int = Field(ge=0, description="Lines of the frame log that were dropped.")
    events_waiting: int = Field(ge=0, description="Events that are not in the event file yet.")
    events_waiting_seconds: float = Field(ge=0, description="For how long the oldest of them waits.")
    dropped: int
    gated: int
    reopened: int
    hung: int
    station: str = Field("", description="Name of this computer.")
    last_frame_age_seconds: float | None = Field(None, description="Since the last frame; null before the first.")
    writer_failed: bool = Field(False, description="Nothing can be written, and the run ends.")
    disk_free_bytes: int | None = Field(None, description="Of the output folder's disk; null where it is not known.")
    limiting_magnitude: float | None = Field(None, description="Of a star of 5 sigma in the last solved frame.")
    star_fwhm: float | None = Field(None, description="Width of its stars in arcsec.")
    star_elongation: float | None = Field(None, description="Longer over shorter axis of its stars.")
    sky_brightness: float | None = Field(None, description="Of its sky in mag/arcsec2.")
    transparency: float | None = Field(None, description="0 to 1, relative to the best frame of the run.")
    galaxies_expected: int | None = Field(None, description="Catalogued galaxies that should be detected in it.")
    galaxies_found: int | None = Field(None, description="How many of these are.")
    known_objects: list[str] = Field([], description="Catalogued objects in the frames, which of them detected.")
    version: str = ""
    bundles: dict[str, str] = Field(default={}, description="Hash of each bundle by its name.")


class DepthSample(BaseModel):
    """The depth of a solved frame or stack; null where unknown."""

    time: str
    run: int
    frame: int
    stacked: int
    ra: float = Field(description="Of its centre in degrees.")
    dec: float
    stars: int = Field(description="Number of catalogued stars that the zero point rests on.")
    zero_point: float | None = Field(description="Magnitude of a star whose light is one unit.")
    limiting_magnitude: float | None
    star_fwhm: float | None
    star_elongation: float | None
    sky_brightness: float | None
    transparency: float | None
    galaxies_expected: int | None
    galaxies_found: int | None
    missed: str = Field(description="Names of galaxies that are expected and not detected, separated by semicolons.")


class CompletenessBin(BaseModel):
    """Galaxies of one magnitude in the fields of the run."""

    low: float = Field(alias="from")
    to: float
    galaxies: int
    expected: int
    found: int
    missed: int


class Depth(BaseModel):
    """What the run could see, and which galaxies it found; see docs/depth.md."""

    rows: list[DepthSample] = Field(description="Oldest first.")
    missed: list[str] = Field(description="Galaxies that were expected and never detected, the brightest first.")
    by_magnitude: list[CompletenessBin]
    by_surface_brightness: list[CompletenessBin]


class Health(BaseModel):
    """Whether frames arrive and are written."""

    state: State


class Sample(BaseModel):
    """Figures of one second of the history."""

    time: float = Field(description="Seconds since 1970, UTC.")
    frames_per_second: float
    temperature: float | None
    stages: dict[str, float]


class EventRecord(BaseModel):
    """One object."""

    model_config = ConfigDict(extra="allow")

    id: str
    run: int
    number: int
    state: str
    kind: str
    name: str = Field(alias="class")
    probability: float
    sure: bool | None
    group: str | None = Field(None, description="Coarse group; only where the class is not sure but the group is.")
    score: float
    box: list[float] = Field(min_length=4, max_length=4)
    frames: int
    first_time: str
    last_time: str
    source: str
    crop: str | None = Field(description="Path of its image, here and in the output folder.")
    label: str = Field("", description="Its displayed name in plain words.")
    review: str | None = Field(None, description="What was said about it: right, wrong or not_galaxy.")


class ReviewUpdate(BaseModel):
    """What someone says about an event."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verdict: Verdict
    name: str | None = Field(None, alias="class", max_length=100, description="The true class of a wrong one.")


class ReviewRecord(BaseModel):
    """A stored answer about an event."""

    event: str
    verdict: Verdict
    name: str | None = Field(alias="class", description="The true class, where it is known.")


class ObjectRecord(BaseModel):
    """A tracked object in the latest image."""

    id: str
    name: str
    label: str = Field(description="Its name in plain words.")
    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 as shares of the image's sides.")
    seen: bool = Field(description="Whether it was detected in this very frame.")


class View(BaseModel):
    """The latest image, and the tracked objects in it."""

    image: int = Field(ge=0, description="Counts the images; 0 before the first.")
    width: int
    height: int
    age_seconds: float
    objects: list[ObjectRecord]


class ControlsState(BaseModel):
    """Current values of the controls."""

    paused: bool
    min_score: float | None = Field(description="null: the bundle's default.")
    stack: int | None = Field(description="null: this run does not stack.")
    show_inputs: bool = Field(description="The images show what the detector is given: the frame and tiles of it.")
    default_min_score: float | None = Field(None, description="The bundle's own minimum score.")


class ControlsUpdate(BaseModel):
    """Controls to change; those that are missing stay as they are."""

    model_config = ConfigDict(extra="forbid", strict=True)

    paused: bool | None = None
    min_score: float | None = Field(None, ge=0, le=1)
    stack: int | None = Field(None, ge=1, le=64)
    show_inputs: bool | None = None


class SavedFrame(BaseModel):
    """The path under which the next frame will be saved."""

    name: str


class Login(BaseModel):
    """The token to exchange for a cookie."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=200)


class SessionRecord(BaseModel):
    """A browser that is logged in."""

    id: str = Field(description="Names the session; it gives no access.")
    created: str
    client: str = Field(description="Address that it logged in from.")
    current: bool = Field(description="Whether it is the one of this request.")


class Pairing(BaseModel):
    """A link that logs in one browser."""

    link: str
    expires_seconds: float
    qr: list[str] = Field(description="Rows of its QR code with the border: 1 is dark.")


class EndedSessions(BaseModel):
    """How many sessions were ended."""

    ended: int = Field(ge=0)


class ErrorResponse(BaseModel):
    """Why a request was rejected."""

    detail: str
