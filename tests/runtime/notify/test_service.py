"""When a service is notified: settling, cool-downs, failures."""

import pytest
from galaxy_edge.runtime.events.event import RunInfo, events_from_tracks
from galaxy_edge.runtime.notify import service as service_module
from galaxy_edge.runtime.notify.config import NotifyConfig
from galaxy_edge.runtime.notify.sender import SendError
from galaxy_edge.runtime.notify.service import ServiceThread
from galaxy_edge.sky.position import SkyPosition
from helpers.candidates import candidate
from helpers.tracks import CLASSES, track, until

M94 = SkyPosition(192.7, 41.1, object_name="M 94", object_kind="galaxy")


class Service:
    """Keeps the titles of messages, or refuses them.

    It has a clock that only the test moves.
    """

    name = "test://***"

    def __init__(self, **config):
        self.titles, self.now, self.refuses = [], 1000.0, False
        values = {"settle": 5.0, "interval": 60.0, "again": 3600.0, **config}
        self.thread = ServiceThread(self, NotifyConfig(("test://x",), **values), "pier", lambda: self.now)

    def send(self, message):
        if self.refuses:
            raise SendError("it answered with the error 500")
        self.titles.append(message.title)

    def find(self, number, sky=None, **options):
        made = track(number, **options)
        made.sky = sky
        self.thread.add(events_from_tracks([made], RunInfo(1, "0123abcd", CLASSES)))

    def pass_time(self, seconds):
        self.now += seconds
        self.thread.add([])  # wakes the thread


@pytest.fixture
def make_service():
    made = []

    def make(**config):
        made.append(Service(**config))
        return made[-1]

    yield make
    for service in made:
        service.thread.close()
        service.thread.join(10)


def test_find_is_sent_once_it_has_settled_and_once_only(make_service):
    service = make_service()
    service.find(1)
    service.pass_time(4)
    service.find(1, sky=M94)
    service.pass_time(1)
    until(lambda: service.titles)
    service.find(1, sky=M94, last=3)
    service.find(2, sky=M94)  # the same object, found again
    service.pass_time(100)
    assert service.titles == ["M 94 (pier)"] and service.thread.pending == 0
    service.pass_time(3600)
    service.find(3, sky=M94)
    service.pass_time(5)
    until(lambda: len(service.titles) == 2)


def test_candidates_of_the_cool_down_are_in_one_message(make_service):
    """They are sent before finds, and at once where nothing was sent before."""
    service = make_service()
    service.thread.add_candidate(candidate("A"), b"")
    until(lambda: service.titles)
    for name in "BCD":
        service.thread.add_candidate(candidate(name), b"")
    service.find(1)
    assert service.thread.pending == 4
    service.pass_time(60)
    until(lambda: len(service.titles) == 2)
    service.thread.close()
    service.thread.join(10)
    assert service.titles == ["Candidate near M 94 (pier)", "3 candidates near galaxies (pier)", "Spiral (pier)"]


def test_candidate_is_sent_again_after_a_failure(make_service):
    service = make_service(interval=0.0)
    service.refuses = True
    service.thread.add_candidate(candidate("A"), b"")
    until(lambda: service.thread._delay)
    service.refuses = False
    service.pass_time(30)
    until(lambda: service.titles)
    assert service.titles == ["Candidate near M 94 (pier)"]


def test_finds_of_the_cool_down_are_in_the_next_message(make_service):
    service = make_service()
    service.find(1)
    service.pass_time(5)
    until(lambda: service.titles)
    for number in (2, 3, 4):
        service.find(number)
    service.pass_time(30)
    assert service.thread.pending == 3
    service.pass_time(30)
    until(lambda: len(service.titles) == 2)
    assert service.titles[1] == "3 finds (pier)" and service.thread.sent == 4


def test_find_that_turns_out_to_be_an_artefact_is_not_sent(make_service):
    service = make_service()
    hot = track(1)
    service.find(1)
    hot.kind = "hot pixel"
    service.thread.add(events_from_tracks([hot], RunInfo(1, "0123abcd", CLASSES)))
    assert service.thread.pending == 0


def test_end_of_a_run_sends_what_waits(make_service):
    service = make_service()
    service.find(1)
    service.thread.close()
    service.thread.join(10)
    assert service.titles == ["Spiral (pier)"] or len(service.titles) == 1


def test_failures_are_one_warning_and_are_tried_again(make_service, caplog):
    service = make_service()
    service.refuses = True
    service.find(1)
    service.pass_time(5)
    until(lambda: caplog.messages)
    service.pass_time(30)
    service.pass_time(60)
    assert caplog.messages == ["test://*** cannot be notified: it answered with the error 500; detection continues"]
    service.refuses = False
    service.pass_time(900)
    until(lambda: service.titles)
    until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[1] == "test://*** accepts notifications again"


def test_waiting_finds_are_bounded_and_the_best_are_kept(make_service, monkeypatch, caplog):
    monkeypatch.setattr(service_module, "MAX_WAITING", 3)
    service = make_service()
    service.refuses = True
    for number in range(1, 6):
        service.find(number, score=number / 10)
    assert service.thread.pending == 3 and service.thread.dropped == 2
    service.pass_time(5)
    until(lambda: caplog.messages)
    service.thread.close()
    service.thread.join(10)
    assert caplog.messages[1:] == [
        "test://*** was not notified of 3 finds", "test://*** was not notified of 2 finds: too many waited",
    ]  # fmt: skip
