"""Records and logs for a report keep only what is known to be harmless."""

import dataclasses
import json
import random
import string

import pytest
from galaxy_edge.runtime.frame_report.redaction import FRAME, keep_known, redact_log
from galaxy_edge.runtime.run_config import RunConfig
from galaxy_edge.runtime.run_settings import GIVEN, PLAIN, shareable_settings

LINES = (
    "galaxy-edge: {s} is lost: trying again in 4 s",
    "galaxy-edge: open http://{s}.local:8080/?token={s} in a browser",
    "galaxy-edge: 'm31 of {s}.png' is skipped: it is truncated",
    "galaxy-edge: /home/{s}/My Pictures {s}/m31.fits is skipped",
    "rtsp://{s}:{s}@192.168.7.33/stream1 ended",
    "{s}@{s}.org was notified by mailto://{s}",
    "station {s}-{s} at 48.2081,16.3739 and 48,2 N",
    "token={s} PASSWORD:{s} {s}",
)


def random_text(rng):
    return "".join(rng.choices(string.ascii_letters + string.digits, k=12))


def test_no_log_line_keeps_what_it_was_completed_with():
    rng = random.Random(7)
    for line in LINES * 10:
        secret = random_text(rng)
        text = redact_log(line.format(s=secret))
        assert secret.lower() not in text.lower() and "48.2" not in text and "192" not in text and "48,2" not in text


def test_words_of_the_messages_stay_readable():
    line = "2026-11-28T22:00:00Z galaxy-edge: the camera is lost: trying again in 4 s (12 frames, 3.5 per second)"
    assert redact_log(line) == line.replace("22:00:00Z", "22:00:00") + "\n"


def test_known_secrets_are_masked_even_where_they_are_words():
    assert "camera" not in redact_log("galaxy-edge: the Camera is lost", ["camera"]).lower()


@pytest.mark.parametrize("key", ["source", "note", "place"])
def test_only_listed_keys_of_a_record_are_kept(key):
    record = {"frame": 3, key: "Kirchberg", "detections": [{"score": 0.5, "sky": {"ra": 1.5, "sky_note": "Kirchberg"}}]}
    kept, removed = keep_known(record, FRAME)
    assert kept == {"frame": 3, "detections": [{"score": 0.5, "sky": {"ra": 1.5}}]}
    assert removed == [key, "detections.sky.sky_note"]


def test_every_setting_of_a_run_is_listed():
    """A new one is either harmless, or only whether it is set is reported."""
    special = {"source", "engine", "sky", "out"}
    assert {field.name for field in dataclasses.fields(RunConfig)} == {*PLAIN, *GIVEN, *special}


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("demo", "demo"),
        ("0?exposure=200ms&gain=40", "0?exposure=200ms&gain=40"),
        ("rtsp://me:secret@cam/stream", "rtsp:"),
        ("watch:/home/me/tonight", "watch:"),
        ("/home/me/secret.fits", "a file (.fits)"),
        ("/home/me/secret.d/", "a folder"),
    ],
)
def test_a_source_is_reported_without_its_name(source, kind):
    settings = shareable_settings(RunConfig(source=source))
    assert settings["source"] == kind and "secret" not in json.dumps(settings)
