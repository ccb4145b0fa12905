"""Set up a run: source, networks, views, output, controls, sinks, pipeline.

>>> stats = Session(RunConfig(source="demo", out=Path("found"))).run()  # doctest: +SKIP

The configuration is checked before anything begins. The live view and MQTT are imported only if they are configured.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..devices.probe import probe, profile_for
from ..models.images.development import Development
from ..models.images.memory import limit_run
from ..models.raw.stretch import Stretch
from .astrometry import frame_positions
from .events.frame_record import FrameRecord
from .frame import Detections, Frame
from .inference.bundles import CLASSIFIER, DETECTOR, RAW_DETECTOR, has_raw_detector, load_bundle, raw_stretch
from .inference.classifier import Classifier
from .inference.detector import Detector
from .inference.golden import check_golden_at_start
from .inference.load import resolve_engine
from .monitoring.controls import Controls
from .monitoring.health import RunMonitor
from .open_sinks import open_sinks
from .pipeline.loop import run_loop
from .pipeline.sink import Sink
from .pipeline.stages import FrameProcessor, ViewOptions
from .pipeline.tasks import FrameCallback
from .pipeline.threads import decoder_threads
from .recording.open_folder import EVENT_FILE
from .recording.output_folder import OutputFolder
from .run_config import MqttConfig, RunConfig, SkyConfig, WebConfig, check_trace, open_trace, require_extras
from .run_settings import shareable_settings
from .sources.open_source import open_source
from .sources.source import ResumableSource, Source
from .system.stop_deadline import StopDeadline
from .system.systemd import SystemdNotifier
from .system.utc_time import utc_now

if TYPE_CHECKING:
    from .inference.raw_detector import RawDetector
    from .monitoring.run_stats import RunStats
    from .monitoring.window import Window
    from .pipeline.sky_names import SkyNames

__all__ = ["MqttConfig", "RunConfig", "Session", "SkyConfig", "WebConfig"]

logger = logging.getLogger(__name__)


class Session:
    """A run: its parts are opened on creation, and closed at the end of `run`.

    Args:
        config: how to run.
        source: delivers the frames in place of ``config.source``.
        detector: a network that is loaded already, in place of the configured one.
        classifier: likewise.
        sinks: take frames and events in addition to the configured ones; closed with them.

    Attributes:
        config: as given.
        source: delivers the frames.
        detector, classifier: the networks.
        output: the output folder; None if ``config.out`` is None.
        controls: what may be changed during the run, from any thread.
        monitor: figures of the run, from any thread.
        deadline: by which the run must have ended, once it is asked to stop.
        web: the live view; None if it is not configured.
        sink: everything that takes the frames and events of the run.

    Raises:
        UsageError: the source, the output folder or a service cannot be opened.
        BundleError: a bundle cannot be used.
        GoldenMismatch: a network's outputs on this machine differ from those where it was exported.
        MissingExtra: a package that is needed is not installed.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        source: Source | None = None,
        detector: Detector | None = None,
        classifier: Classifier | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self.config = config
        require_extras(config)
        check_trace(config)
        self._profile = profile_for(config.device)
        limit_run(self._profile.memory * 2**20)
        engine, threads = self._engine = resolve_engine(config.engine, config.threads, self._profile)
        self._has_own_detector = detector is not None
        bundles = {
            name: load_bundle(config.models, name, config.require_signature, config.allow_older)
            for name, network in ((DETECTOR, detector), (CLASSIFIER, classifier))
            if network is None
        }
        stretch = detector.bundle.stretch if detector else raw_stretch(config.models, bundles[DETECTOR].stretch)
        self.source = source or _open_source(config, stretch)
        self.detector = detector or Detector(
            bundles[DETECTOR], bundles[DETECTOR].default_variant, engine, threads, config.min_score
        )
        self.classifier = classifier or Classifier(
            bundles[CLASSIFIER], bundles[CLASSIFIER].default_variant, engine, threads
        )
        for name, network in ((DETECTOR, self.detector), (CLASSIFIER, self.classifier)):
            if name in bundles:
                check_golden_at_start(bundles[name], bundles[name].default_variant, network.engine)
        self._views = self._view_options()
        self._window = self._open_window()
        self._trace = open_trace(config.trace)
        self.output = self._open_output(config.out, engine) if config.out else None
        writer = self.output.writer if self.output else None
        self.deadline = writer.deadline if writer else StopDeadline()
        self.controls = Controls(
            min_score=self.detector.min_score, stack=config.stack if self.source.continuous else None, writer=writer
        )
        self.monitor = RunMonitor(config.stale_after, writer, lambda: self.controls.paused)
        hashes = {network.bundle.name: network.bundle.hash for network in (self.detector, self.classifier)}
        self.monitor.about = {"version": __version__, "bundles": hashes}
        self.sink, self.web = open_sinks(
            config, self.source.name, self._profile, self.output, self.monitor, self.controls, sinks
        )

    @property
    def length(self) -> int | None:
        """Number of frames that the run will have, if known."""
        return self.source.length if self.config.max_frames is None else self.config.max_frames

    def run(
        self, on_frame: FrameCallback = lambda *_: None, should_stop: Callable[[], bool] = lambda: False
    ) -> RunStats:
        """Run to the end of the frames, until `should_stop`, or until the window closes.

        Args:
            on_frame: called after each frame, from this thread: the frame, its detections, its record, the statistics.
            should_stop: called once per frame, and several times per second while there is none.

        Returns:
            Statistics of the run; if it could not continue or could not write everything, ``failure`` gives the reason.
        """
        positions = frame_positions(self.config.sky, self.source.live, self.source.continuous, self.deadline)
        save_input = self.output.save_input if self.output and self.config.save_input else None
        processor = FrameProcessor(
            self.detector, self.classifier, self.source.continuous, self._views, self.controls, save_input,
            self._raw_detector_loader(), self.web.inputs if self.web else None, positions,
        )  # fmt: skip
        manager = SystemdNotifier()
        writer = self.output.writer if self.output else None

        def frame_done(frame: Frame, detections: Detections, record: FrameRecord, stats: RunStats) -> None:
            on_frame(frame, detections, record, stats)
            self.monitor.run_stats = stats
            if isinstance(self.source, ResumableSource):
                self.source.frame_processed(frame.source)
            if self._window:
                self._window.show(frame, detections)
            if writer is None or writer.is_alive:
                manager.frame_done()

        with closing(positions), self._report_lost_output():
            stats = run_loop(
                self.source, processor, self.sink, frame_done, lambda: self._must_stop(should_stop(), manager),
                self.config.max_frames, trace=self._trace, overlap=self.config.overlap, deadline=self.deadline,
                open_sky_names=self._open_sky_names,
            )  # fmt: skip
        manager.stopping()
        if isinstance(self.source, ResumableSource):
            self.source.run_ended()
        lost = writer.failure if writer else None
        if stats.failure and lost:
            logger.error("%s", lost)
        stats.failure = stats.failure or lost
        return stats

    def _open_sky_names(self) -> SkyNames:
        from .pipeline.sky_names import SkyNames  # few runs know where they are on the sky

        return SkyNames(self.config.catalogue, self.output.folder / EVENT_FILE if self.output else None)

    def _must_stop(self, is_asked: bool, manager: SystemdNotifier) -> bool:
        """Return whether to stop; check the output folder.

        Raises:
            RunFailure: nothing can be written any more.
        """
        manager.waiting(self.source.name if self.config.waits else "")
        stops = is_asked or bool(self._window and self._window.closed)
        if stops:
            self.deadline.start()
        if self.output:
            self.output.writer.check()
        return stops

    def close(self) -> None:
        """Close everything without a run."""
        self.sink.close(0, 0)
        if self._trace:
            self._trace.close()

    def _raw_detector_loader(self) -> Callable[[], RawDetector] | None:
        """Return a function that loads the raw frames' detector; None if there is none."""
        config = self.config
        if self._has_own_detector or not has_raw_detector(config.models):
            return None

        def load() -> RawDetector:
            from .inference.raw_detector import RawDetector

            bundle = load_bundle(config.models, RAW_DETECTOR, config.require_signature, config.allow_older)
            detector = RawDetector(bundle, bundle.default_variant, *self._engine, config.min_score)
            check_golden_at_start(bundle, bundle.default_variant, detector.engine)
            return detector

        return load

    def _view_options(self) -> ViewOptions:
        """Return the view options; the gate's default is 10 s for live sources."""
        config = self.config
        gate = 10.0 * self.source.live if config.gate is None else config.gate
        views = ViewOptions(config.tiles, gate, config.stack)
        if config.gate and (reason := views.why_no_gate(self.source.continuous)):
            logger.warning("--gate has no effect: %s", reason)
        return views

    def _open_window(self) -> Window | None:
        if not self.config.show:
            return None
        from .monitoring.window import Window

        return Window(self.classifier.classes, self.classifier.abstain_below)

    def _open_output(self, folder: Path, engine: str) -> OutputFolder:
        machine = probe(engines=False)
        about = {
            "started": utc_now(),
            "source": self.source.name,
            "version": __version__,
            "engine": engine,
            "device": machine.model or machine.machine,
            "detector": self.detector.bundle.hash,
            "classifier": self.classifier.bundle.hash,
            "settings": json.dumps(shareable_settings(self.config)),
        }
        config = self.config
        return OutputFolder(
            folder, about, self.classifier.classes,
            video=self.source.continuous and not self.source.live and config.video,
            abstain=self.classifier.abstain_below, quota=config.quota, floor=config.keep_free, fits=config.fits,
        )  # fmt: skip

    @contextmanager
    def _report_lost_output(self) -> Iterator[None]:
        """Log lost output if the run ends with an exception; otherwise `run` returns it."""
        try:
            yield
        except BaseException:
            if self.output and self.output.writer.failure:
                logger.error("%s", self.output.writer.failure)
            raise


def _open_source(config: RunConfig, stretch: Stretch) -> Source:
    development = Development(config.stretch, stretch, config.debayer == "full")
    return open_source(
        config.source, sequence=config.stack > 1, at_once=decoder_threads(), out=config.out, development=development,
        wait=config.waits, repeats=config.web is not None and config.max_frames is None,
    )  # fmt: skip
