"""The live page as a sink, which runs its server and shows the loop's frames."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from ..inference.detector import ModelInput
from ..monitoring.controls import Controls
from ..monitoring.health import RunMonitor
from ..recording.output_folder import OutputFolder
from ..system.certificate import load_or_create_certificate
from ..tracking.track import Track
from .input_sheet import input_sheet
from .pairing import LIFETIME, pairing_link, qr_text
from .preview import Preview
from .server import Server, browser_url, browser_urls, is_loopback, listen
from .token import Token, load_or_create_token
from .tracked_objects import TrackedObjects

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from ..report.night import Place

logger = logging.getLogger(__name__)

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def offer_pairing(url: str, token: Token) -> None:
    """Show a QR code and its link in the terminal, which log a phone in once."""
    link = pairing_link(url, token.pairing.create())
    minutes = round(LIFETIME / 60)
    logger.info("scan this with a phone to log it in, once, within %d minutes, or open %s", minutes, link)
    sys.stderr.write(qr_text(link))  # not logged: handlers take one line each
    sys.stderr.flush()


class WebSink:
    """Serve the live page of a run from a thread of its own.

    Its address and token file are logged.

    Args:
        address: ``[HOST:]PORT``.
        token_file: file that holds the token. A token is required off loopback, or wherever this is given; None for
            ``OUT/token`` where one is required.
        source: name of the run's source, to be shown.
        output, monitor, controls: of the run.
        tls: whether connections are encrypted, with a certificate in the output folder.
        place: of the telescope, for reports; None if unknown.

    Attributes:
        url: of the page.

    Raises:
        UsageError: the address or the token file cannot be used.
    """

    def __init__(
        self, address: str, token_file: Path | None, source: str, output: OutputFolder, monitor: RunMonitor,
        controls: Controls, tls: bool = False, place: Place | None = None,
    ) -> None:  # fmt: skip
        bound = listen(address)
        scheme = "https" if tls else "http"
        self.url = browser_url(bound, scheme)
        token, local = None, is_loopback(bound)
        urls = [self.url] if local else browser_urls(bound, scheme)
        messages = [f"live view: {' or '.join(urls)}"]
        if token_file or not local:
            path = token_file or output.folder / "token"
            text, is_new = load_or_create_token(path)
            token = Token(text, output.folder / "sessions.json")
            messages.append(f"its token is {text} (kept in {path})" if is_new else f"its token is in {path}")
        certificate = None
        if tls:
            names = ["localhost", "127.0.0.1", *dict.fromkeys(filter(None, (urlsplit(url).hostname for url in urls)))]
            certificate = load_or_create_certificate(output.folder, names)
            messages.append(f"its certificate has the SHA-256 fingerprint {certificate.fingerprint}")
        for message in messages:
            logger.info("%s", message)
        if token and not local and sys.stderr.isatty():  # a link that logs in does not belong in a journal
            offer_pairing(urls[0], token)
        self._preview = Preview(output.info.classes, output.info.abstain)
        self._controls = controls
        self._objects = TrackedObjects(output.info)
        self._frame = 0, 1, 1  # number, width and height of the latest

        def make_app() -> ASGIApp:
            from .app import create_app

            hosts = LOOPBACK_HOSTS if local else None
            run = output.info.number
            return create_app(output.folder, run, source, monitor, controls, self._preview, token, hosts, place)

        self._server = Server(make_app, bound, certificate)

    def frame(self, frame: Frame, named: Detections, record: FrameRecord) -> None:
        """Show a frame if there are viewers, unless they look at the detector's inputs."""
        if not self._controls.show_inputs:
            self._preview.keep(frame.pixels, named)
        self._frame = frame.number, frame.width, frame.height

    def inputs(self, views: np.ndarray, inputs: Sequence[ModelInput], named: Detections) -> None:
        """Show the detector's inputs for a frame if requested; see `input_sheet`."""
        if self._controls.show_inputs and self._preview.is_due():
            self._preview.update(*input_sheet(views, inputs, named))

    def events(self, changed: list[Track]) -> None:
        """Show the frame with the objects that are tracked.

        The page reads their events from the event file.
        """
        self._preview.publish(self._objects.update(changed, *self._frame))

    def close(self, frames: int, bad: int) -> None:
        """End the viewers' streams and stop the server."""
        self._preview.closed = True
        self._server.close()
