"""The live view as a sink: it starts its server, shows the loop's frames, and ends the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..frame import Detections, Frame
from ..monitoring.controls import Controls
from ..monitoring.health import RunMonitor
from ..recording.output_folder import OutputFolder
from ..tracking.track import Track
from .preview import Preview
from .server import Server, browser_url, is_loopback, listen
from .token import Token, load_or_create_token

if TYPE_CHECKING:
    from starlette.types import ASGIApp

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class WebSink:
    """Serves the live view of a run, from a thread of its own.

    Args:
        where: ``[HOST:]PORT``.
        token_file: holds the token, which is wanted off loopback, or wherever this is named; None for
            ``OUT/token`` where one is wanted.
        source: the run's source, to be shown.
        output, pulse, controls: of the run.
        say: told where the page is.
        alert: told what goes wrong.

    Attributes:
        address: of the page.

    Raises:
        UsageError: the address or the token file cannot be used.
    """

    def __init__(
        self, where: str, token_file: Path | None, source: str, output: OutputFolder, pulse: RunMonitor,
        controls: Controls,
        say: Callable[[str], None], alert: Callable[[str], None],
    ) -> None:  # fmt: skip
        bound = listen(where)
        self.address = browser_url(bound)
        local, token, told = is_loopback(bound), None, [f"live view: {self.address}"]
        if token_file or not local:
            place = token_file or output.folder / "token"
            text, new = load_or_create_token(place)
            token = Token(text)
            told.append(f"its token is {text} (kept in {place})" if new else f"its token is in {place}")
        for line in told:
            say(line)
        self._preview = Preview(output.info.classes, output.info.abstain)

        def make() -> ASGIApp:
            from .app import create_app

            hosts = LOOPBACK if local else None
            return create_app(output.folder, output.info.number, source, pulse, controls, self._preview, token, hosts)

        self._server = Server(make, bound, alert)

    def frame(self, frame: Frame, named: Detections, record: dict[str, Any]) -> None:
        """Show a frame, if somebody looks."""
        self._preview.frame(frame, named)

    def events(self, changed: list[Track]) -> None:
        """Events are read from the store."""

    def close(self, frames: int, bad: int) -> None:
        """Let the viewers go."""
        self._preview.closed = True
        self._server.close()
