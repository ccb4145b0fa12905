"""How to run: one frozen, validated object.

The command line and `session.Session` use it.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..devices.engines import ENGINE_NAMES
from ..errors import UsageError, require_extra
from ..models.images.development import STRETCHES
from .imaging.tiling import parse_grid
from .recording.retention import FLOOR, QUOTA

if TYPE_CHECKING:
    from .notify.config import NotifyConfig
    from .pipeline.trace import TraceFile
    from .report.night import Place

DEBAYERS = ("superpixels", "full")

MAX_THREADS = 64
MAX_STACK = 64
MAX_GATE = 86_400.0


@dataclass(frozen=True, eq=False)
class WebConfig:
    """The live view.

    Attributes:
        address: ``[HOST:]PORT``; without a host, this machine only.
        token_file: file with the token; None for ``OUT/token`` where one is needed, off loopback.
        tls: whether connections are encrypted, with a certificate that is made for it.
        place: of the telescope, for the report of the night; None if unknown.
    """

    address: str
    token_file: Path | None = None
    tls: bool = False
    place: Place | None = None

    def __post_init__(self) -> None:
        from .web.address import parse_listen_address

        parse_listen_address(self.address)


@dataclass(frozen=True, eq=False)
class MqttConfig:
    """Where to publish events.

    Attributes:
        url: ``mqtt[s]://[USER:PASSWORD@]HOST[:PORT]``.
        authority: certificate of the authority that signed the broker's, where the system does not know it.
        prefix: prefix of the topics; None for ``galaxy-edge/`` and the name of this computer.
        discovery: prefix of Home Assistant's discovery; "" for none.
        interval: publish interval of the figures in seconds.
    """

    url: str = field(repr=False)  # it may hold a password
    authority: Path | None = None
    prefix: str | None = None
    discovery: str = "homeassistant"
    interval: float = 10.0

    def __post_init__(self) -> None:
        from .mqtt.address import parse_broker_url, parse_topic

        parse_broker_url(self.url)
        if self.prefix == "":
            raise UsageError("--mqtt-prefix is empty: topics need a beginning")
        for prefix in filter(None, (self.prefix, self.discovery)):
            parse_topic(prefix)
        if self.authority and not self.authority.is_file():
            raise UsageError(f"--mqtt-ca {self.authority}: there is no such file")
        _check_range("mqtt interval", self.interval, 0.1, math.inf)


@dataclass(frozen=True, eq=False)
class SkyConfig:
    """Where frames are on the sky.

    Attributes:
        solve: whether frames are solved.
        ra, dec: position near the field in degrees; None for that of the headers.
        radius: degrees around it that are searched first; None for the usual.
        scale: minimum and maximum arcseconds per pixel; None for that of the headers.
        interval: seconds after which a followed position is checked by the stars.
    """

    solve: bool = True
    ra: float | None = None
    dec: float | None = None
    radius: float | None = None
    scale: tuple[float, float] | None = None
    interval: float = 300.0

    @property
    def has_hints(self) -> bool:
        """Whether the user gives a position or a scale."""
        return self.ra is not None or self.scale is not None


@dataclass(frozen=True, eq=False)
class WatchConfig:
    """How something new near galaxies is watched for.

    Attributes:
        references: folder of the reference images; None for ``references`` in the output folder.
        stacks: number of independent stacks that must show a candidate, 2 to 20.
    """

    references: Path | None = None
    stacks: int = 3

    def __post_init__(self) -> None:
        _check_range("watch_stacks", self.stacks, 2, 20)


@dataclass(frozen=True, eq=False)
class RunConfig:
    """How to run.

    Attributes:
        source: ``demo``, an image, a folder or zip of images, a video file, a camera or the address of a stream, see
            `sources.open_source`.
        models: folder with the bundles; None for the shipped ones.
        require_signature: public key that the bundles must be signed for; None for no check.
        allow_older: whether signed bundles may be older than those used here before.
        device: name or TOML file of a device profile; None for the one that fits this machine.
        engine: one of `ENGINE_NAMES`; None for the profile's.
        threads: threads of an inference, 1 to 64; None for the profile's.
        min_score: minimum detector score in whole frames and tiles, 0..1; None for the bundle's operating thresholds.
        tiles: ``auto``, ``off`` or columns x rows, see `imaging.tiling.TileSelector`.
        stretch: how more than 8 bits are reduced to 8: one of `models.images.development.STRETCHES`.
        debayer: ``superpixels``: each 2 x 2 cell of a mosaic becomes a pixel; ``full``: colours are interpolated.
        stack: number of frames that are aligned and averaged, 1 to 64.
        gate: seconds for which frames like the last share its result, 0 for never; None: 10 for live sources, else 0.
        wait: whether to wait for a camera or stream that is absent at the start; None: only under a service manager.
        max_frames: stop after this number of frames; None for all.
        overlap: whether the stages run at the same time, each in its own thread.
        out: output folder; None to write nothing.
        video: whether the annotated video of a file is written.
        quota: maximum bytes of crops, images, videos and logs in the output folder; 0 for no limit.
        keep_free: bytes of the disk to leave free.
        catalogue: a table of the user's own objects, which have precedence over OpenNGC's; None for OpenNGC alone.
        fits: whether crops and saved frames are written as FITS too.
        save_input: whether the detector's inputs are written, as 8-bit PNG.
        trace: file for the timing of every frame, a trace that Perfetto opens; None for none.
        show: whether to show the frames in a window.
        stale_after: seconds without a frame after which the run counts as stalled.
        web: the live view; None for none.
        mqtt: where to publish; None for nowhere.
        notify: which services to notify of finds; None for none.
        sky: how the frames' positions on the sky are found.
        watch: watch for something new near galaxies; None for not.

    Raises:
        UsageError: a value is outside its range, or two values exclude each other.
    """

    source: str = field(default="demo", repr=False)  # it may hold a password
    models: Path | None = None
    require_signature: Path | None = None
    allow_older: bool = False
    device: str | None = None
    engine: str | None = None
    threads: int | None = None
    min_score: float | None = None
    tiles: str = "auto"
    stretch: str = "auto"
    debayer: str = "superpixels"
    stack: int = 1
    gate: float | None = None
    wait: bool | None = None
    max_frames: int | None = None
    overlap: bool = True
    out: Path | None = Path("galaxy-edge-out")
    video: bool = True
    quota: int = QUOTA
    keep_free: int = FLOOR
    catalogue: Path | None = None
    fits: bool = False
    save_input: bool = False
    trace: Path | None = None
    show: bool = False
    stale_after: float = 20.0
    web: WebConfig | None = None
    mqtt: MqttConfig | None = None
    notify: NotifyConfig | None = None
    sky: SkyConfig = SkyConfig()
    watch: WatchConfig | None = None

    def __post_init__(self) -> None:
        if self.engine is not None and self.engine not in ENGINE_NAMES:
            _check_plugin(self.engine)
        parse_grid(self.tiles)
        if self.stretch not in STRETCHES:
            raise UsageError(f"unknown stretch '{self.stretch}'; known: {', '.join(STRETCHES)}")
        if self.debayer not in DEBAYERS:
            raise UsageError(f"unknown debayer '{self.debayer}'; known: {', '.join(DEBAYERS)}")
        for name, value, low, high in (
            ("threads", self.threads, 1, MAX_THREADS),
            ("min_score", self.min_score, 0, 1),
            ("stack", self.stack, 1, MAX_STACK),
            ("gate", self.gate, 0, MAX_GATE),
            ("max_frames", self.max_frames, 1, math.inf),
            ("quota", self.quota, 0, math.inf),
            ("keep_free", self.keep_free, 0, math.inf),
        ):
            if value is not None:
                _check_range(name, value, low, high)
        if not (self.stale_after > 0 and math.isfinite(self.stale_after)):
            raise UsageError(f"stale_after must be a positive number of seconds, not {self.stale_after}")
        if self.watch and (self.out is None or not self.sky.solve):
            raise UsageError("to watch for something new needs an output folder and positions on the sky (--solve)")
        if self.out is None and (self.web or self.mqtt or self.notify):
            raise UsageError("the live view, MQTT and notifications need an output folder: events are read from it")

    @property
    def waits(self) -> bool:
        """Whether to wait for a camera that is absent at the start.

        By default, in a systemd service.
        """
        return bool(os.environ.get("NOTIFY_SOCKET")) if self.wait is None else self.wait


def _check_plugin(engine: str) -> None:
    from ..devices.engine_plugins import plugin_names

    if engine not in plugin_names():
        raise UsageError(f"unknown engine '{engine}'; known: {', '.join((*ENGINE_NAMES, *plugin_names()))}")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not (low <= value <= high and math.isfinite(value)):
        limit = f"from {low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise UsageError(f"{name} must be {limit}, not {value}")


def require_extras(config: RunConfig) -> None:
    """Check that the packages that the configuration needs are installed."""
    for is_needed, module, extra in (
        (config.fits, "astropy", "fits"),
        (config.web, "fastapi", "serve"),
        (config.web and config.web.tls, "cryptography", "sign"),
        (config.mqtt, "paho", "mqtt"),
        (config.notify, "apprise", "notify"),
        (config.watch, "pyongc", "sky"),
        (config.watch, "astropy", "sky"),
    ):
        if is_needed:
            require_extra(module, extra)
    if config.catalogue:
        from ..sky.catalogue.combined import open_catalogue

        open_catalogue(config.catalogue)  # so that a table that cannot be used is refused before the run


def check_trace(config: RunConfig) -> None:
    """Refuse a trace that would replace the source."""
    source = os.path.expanduser(config.source)  # it may not be a valid path: os.path copes, Path raises
    trace = config.trace
    if trace and trace.exists() and os.path.exists(source) and trace.samefile(source):
        raise UsageError(f"--profile would replace the source '{config.source}': name another file")


def open_trace(path: Path | None) -> TraceFile | None:
    """Open the file for the timing of every frame, if one is wanted."""
    if path is None:
        return None
    from .pipeline.trace import TraceFile

    return TraceFile(path)
