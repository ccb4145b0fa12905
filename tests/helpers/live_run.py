"""A run that goes on: the shipped networks on the demo sky, again and again, in a thread."""

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request

from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.monitoring.controls import Controls
from galaxy_edge.runtime.monitoring.health import RunMonitor
from galaxy_edge.runtime.pipeline.sink import SinkGroup
from galaxy_edge.runtime.pipeline.threads import run
from galaxy_edge.runtime.recording.output_folder import OutputFolder
from galaxy_edge.runtime.sources.demo import DemoSource
from galaxy_edge.runtime.web.sink import WebSink

from helpers.tracks import ABOUT


class EndlessDemo(DemoSource):
    """The demo's tour without an end; it can be told to stand still, as a camera that delivers no more."""

    length = None

    def __init__(self):
        super().__init__()
        self.dead = threading.Event()
        self.over = threading.Event()

    def __iter__(self):
        number = 0
        while True:
            for frame in super().__iter__():
                while self.dead.is_set() and not self.over.wait(0.05):
                    pass
                yield type(frame)(frame.pixels, frame.time, frame.source, number)
                number += 1
                time.sleep(0.08)  # a camera of ten frames a second leaves time for the rest


class Running:
    """A run with its live view; `said` and `told` are what it would print."""

    def __init__(self, folder, where="0", token_file=None, stale=20.0, more=lambda running: []):
        self.said, self.told = [], []
        self.source = EndlessDemo()
        detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector"), "detect"))
        classifier = Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier"), "classify"))
        self.output = OutputFolder(folder, ABOUT, classifier.classes, video=False, floor=0, alert=self.told.append)
        self.controls = Controls(min_score=detector.min_score, writer=self.output.writer)
        self.pulse = RunMonitor(stale, self.output.writer, lambda: self.controls.paused)
        self.live = WebSink(
            where, token_file, "demo", self.output, self.pulse, self.controls, self.said.append, self.told.append
        )
        self.address = self.live.address.rstrip("/")
        sink = SinkGroup([self.output, self.pulse, self.live, *more(self)])
        self.stop = threading.Event()

        def watch(frame, named, record, summary):
            self.pulse.summary = summary

        self.thread = threading.Thread(
            target=run,
            args=(self.source, detector, classifier, sink, watch, self.stop.is_set),
            kwargs={"controls": self.controls},
        )

    def ask(self, path, body=None, headers=None, method=None):
        """Ask; return the status, the headers and the body."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {**({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})}
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers, answer.read()

    def json(self, path, body=None):
        status, _, content = self.ask(path, body)
        assert status < 300, (status, content)
        return json.loads(content)

    def until(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not come"
            time.sleep(0.05)


@contextlib.contextmanager
def running(folder, **how):
    one = Running(folder, **how)
    one.thread.start()
    try:
        one.until(lambda: one.ask("/healthz")[0] == 200)
        yield one
    finally:
        one.source.over.set()
        one.stop.set()
        one.thread.join()
