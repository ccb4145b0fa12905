"""A run with a live page.

The shipped networks on the demo sky, endlessly, in a thread.
"""

import contextlib
import json
import logging
import ssl
import threading
import time
import urllib.error
import urllib.request

from galaxy_edge.runtime.session import RunConfig, Session, WebConfig
from galaxy_edge.runtime.sources.demo import DemoSource

from helpers.log_records import recorded


class EndlessDemo(DemoSource):
    """The demo repeated without end.

    While `stalled` is set it delivers no frames, like a camera that failed.
    """

    length = None

    def __init__(self):
        super().__init__()
        self.stalled = threading.Event()
        self.over = threading.Event()

    def __iter__(self):
        number = 0
        while True:
            for frame in super().__iter__():
                while self.stalled.is_set() and not self.over.wait(0.05):
                    pass
                yield type(frame)(frame.pixels, frame.time, frame.source, number)
                number += 1
                time.sleep(0.08)  # a camera of ten frames per second leaves time for the rest


class LiveRun:
    """A run with its live page, and a client of it.

    Attributes:
        warnings: what was logged as a warning or worse, in order.
    """

    def __init__(self, folder, records, where="0", token_file=None, stale=20.0, tls=False):
        self._records = records
        self.source = EndlessDemo()
        web = WebConfig(where, token_file, tls)
        config = RunConfig(out=folder, video=False, keep_free=0, stale_after=stale, web=web)
        self.session = Session(config, source=self.source)
        self.output, self.controls, self.monitor = self.session.output, self.session.controls, self.session.monitor
        self.controls.stack = None  # as for a source of unrelated frames
        self.address = self.session.web.url.rstrip("/")
        self.trusted = None  # SSL context
        if tls:
            self.trusted = ssl.create_default_context(cafile=str(self.output.folder / "tls-certificate.pem"))
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.session.run, kwargs={"should_stop": self.stop.is_set})

    @property
    def warnings(self):
        return [record.getMessage() for record in self._records if record.levelno >= logging.WARNING]

    def ask(self, path, body=None, headers=None, method=None):
        """Send a request; return the status, the headers and the body."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {**({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})}
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.trusted) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers, answer.read()

    def json(self, path, body=None):
        """Send a request that must succeed; return the decoded answer."""
        status, _, content = self.ask(path, body)
        assert status < 300, (status, content)
        return json.loads(content)

    def until(self, condition, seconds=60):
        """Wait for a condition; fail if it is not met in time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "timed out"
            time.sleep(0.05)


@contextlib.contextmanager
def running(folder, **settings):
    """Yield a `LiveRun` that answers; stop it at the end."""
    with recorded() as records:
        live = LiveRun(folder, records, **settings)
        live.thread.start()
        try:
            live.until(lambda: live.ask("/healthz")[0] == 200)
            yield live
        finally:
            live.source.over.set()
            live.stop.set()
            live.thread.join()
