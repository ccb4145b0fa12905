"""Which events are notified, and what a message says."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.events.event import RunInfo, events_from_tracks
from galaxy_edge.runtime.notify.address import parse_service_scheme, service_name
from galaxy_edge.runtime.notify.config import NotifyConfig
from galaxy_edge.runtime.notify.message import compose
from galaxy_edge.runtime.notify.rules import check_classes, matches
from galaxy_edge.sky.position import SkyPosition
from helpers.tracks import track

CLASSES = ("smooth_round", "spiral_tight")
M94 = SkyPosition(192.7, 41.1, object_name="M 94", object_kind="galaxy", object_id="J1250+4107")
NEW = SkyPosition(192.7, 41.1, sky_note="nothing catalogued within 10 arcsec")
NO_CATALOGUE = SkyPosition(192.7, 41.1, sky_note="not named: the catalogue is not installed")


def event(sky=None, spiral=0.9, score=0.8, sure=0.5, kind="object"):
    """An event, whose class is sure from the probability `sure` on."""
    made = track(score=score, spiral=spiral)
    made.kind = kind
    made.sky = sky
    return events_from_tracks([made], RunInfo(1, "0123abcd", CLASSES, sure))[0]


def rules(**options):
    return NotifyConfig(("json://localhost",), **options)


@pytest.mark.parametrize(
    ("made", "config", "expected"),
    [
        (event(), rules(), True),
        (event(kind="trail"), rules(), False),
        (event(score=0.8), rules(min_score=0.81), False),
        (event(), rules(classes=("spiral_tight",)), True),
        (event(), rules(classes=("smooth", "spiral")), True),
        (event(), rules(classes=("smooth",)), False),
        (event(sure=0.99), rules(classes=("spiral_tight",)), False),
        (event(sure=0.99), rules(classes=("spiral",)), True),
        (event(M94), rules(names=("m94",)), True),
        (event(M94), rules(names=("NGC*",)), False),
        (event(), rules(names=("*",)), False),
        (event(M94), rules(which="known"), True),
        (event(M94), rules(which="new"), False),
        (event(NEW), rules(which="new"), True),
        (event(NO_CATALOGUE), rules(which="new"), False),
        (event(), rules(which="new"), False),
    ],
)
def test_rules_choose_by_class_score_name_and_catalogue(made, config, expected):
    assert matches(made, config) is expected


def test_named_object_that_is_not_a_galaxy_is_notified_by_name_only():
    nebula = event(SkyPosition(83.8, -5.4, object_name="M 42", object_kind="reflection nebula"))
    assert not nebula.is_object
    assert not matches(nebula, rules()) and matches(nebula, rules(names=("M 42",)))


def test_message_has_what_it_is_how_sure_and_the_crop():
    message = compose([event(M94)], "pier")
    assert message.title == "M 94 (pier)"
    assert "class: spiral galaxy, tight arms 90%" in message.body and "score 0.80" in message.body
    assert "2026-11-22 21:00:00 UTC" in message.body and "catalogued: M 94, galaxy" in message.body
    assert "new: nothing catalogued" in compose([event(NEW)], "pier").body
    image = cv2.imdecode(np.frombuffer(message.image, np.uint8), cv2.IMREAD_COLOR)
    assert min(image.shape[:2]) >= 320
    unsure = compose([event(spiral=0.6, sure=0.8)], "pier")
    assert unsure.title == "Galaxy of uncertain shape (pier)"
    assert "class uncertain, most likely spiral galaxy, tight arms 60%" in unsure.body


def test_message_about_many_events_counts_those_it_does_not_describe():
    finds = [event(score=0.5), *(replace(event(M94), number=number) for number in range(11))]
    message = compose(finds, "pier")
    assert message.title == "12 finds (pier)" and message.body.count("\n") == 11
    assert message.body.startswith("M 94: ") and "and 2 more" in message.body


@pytest.mark.parametrize("url", ["secret", "secret://", "://secret", "tgram://secret token", "/secret/path"])
def test_what_is_not_an_address_is_refused_without_showing_it(url):
    with pytest.raises(UsageError) as refused:
        parse_service_scheme(url)
    assert "secret" not in str(refused.value)


def test_name_of_a_service_shows_its_scheme_only():
    assert service_name("tgram://token/chat?x=y") == "tgram://***"
    assert "token" not in repr(NotifyConfig(("tgram://token/chat",)))


def test_class_that_the_classifier_does_not_have_is_refused():
    check_classes(["spiral", "smooth_round"], CLASSES)
    with pytest.raises(UsageError, match=r"edge_on: .* has smooth_round, spiral_tight, smooth, spiral"):
        check_classes(["edge_on"], CLASSES)
