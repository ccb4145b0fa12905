"""Brokers: their address, topics, password and certificate."""

import shutil
import subprocess

import pytest

pytest.importorskip("paho.mqtt.client", reason="needs the mqtt extra")
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.mqtt.address import parse_broker
from helpers.mosquitto import Mosquitto
from helpers.tracks import track, until


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "http://localhost",
        "mqtt://",
        "mqtt://host:port",
        "mqtt://host:99999",
        "mqtt://host/topic",
        "mqtt://[::1",
        "mqtt://a..b",
        "mqtt://host:0",
    ],
)
def test_invalid_addresses_are_refused(url):
    """Other schemes, missing and impossible hosts and ports, and paths."""
    with pytest.raises(UsageError, match="broker"):
        parse_broker(url, "sky", "", 1.0)


@pytest.mark.parametrize("prefix", ["", "a/#", "a+b", "/a", "a/", "x" * 201, "a\udcff"])
def test_invalid_topic_prefixes_are_refused(prefix):
    """Wildcards and empty levels are not allowed in a topic that is published to."""
    with pytest.raises(UsageError, match="topic"):
        parse_broker("mqtt://host", prefix, "", 1.0)


def test_password_is_never_shown():
    """The password is in no message about a wrong address and no broker's name."""
    with pytest.raises(UsageError) as error:
        parse_broker("ftp://me:secret@host", "sky", "", 1.0)
    assert "secret" not in str(error.value)
    with pytest.raises(
        UsageError
    ) as error:  # '#' begins a fragment: the part before it would be parsed as host and port
        parse_broker("mqtt://me:1234#secret@host", "sky", "", 1.0)
    assert "1234" not in str(error.value) and "secret" not in str(error.value)
    broker = parse_broker("mqtts://me:p%40ss@host", "sky", "", 1.0)
    assert (broker.user, broker.password, broker.port, broker.tls) == ("me", "p@ss", 8883, True)
    assert "p@ss" not in broker.name


@pytest.fixture
def guarded(tmp_path):
    """Start a broker that requires a password, over TLS.

    Its certificate is signed by an authority of its own.
    """
    folder = tmp_path / "guarded"
    folder.mkdir()
    for program in ("openssl", "mosquitto_passwd"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    mosquitto = Mosquitto(
        folder,
        f"allow_anonymous false\npassword_file {folder}/passwords\ncafile {folder}/ca.pem\n"
        f"certfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n",
    )
    subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "passwords", "scope", "p@ss word"], check=True)
    create = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        [*create, "-subj", "/CN=authority", "-keyout", folder / "ca.key", "-out", folder / "ca.pem"],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [
            *create,
            "-subj",
            "/CN=broker",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-CA",
            folder / "ca.pem",
            "-CAkey",
            folder / "ca.key",
            "-keyout",
            folder / "broker.key",
            "-out",
            folder / "broker.pem",
        ],
        check=True,
        capture_output=True,
    )
    mosquitto.authority = folder / "ca.pem"
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()


def test_broker_with_password_and_certificate(guarded, make_sink, caplog):
    """A wrong password and an unknown authority are outages that are logged.

    A missing certificate is refused.
    """
    address = f"127.0.0.1:{guarded.port}"
    sink = make_sink(f"mqtts://scope:p%40ss%20word@{address}", authority=guarded.authority)
    until(lambda: sink.connected)
    sink.events([track(1, ended=True)])
    until(lambda: sink.delivered == 2 and sink.pending == 0)
    assert caplog.messages == []
    sink.close(0, 0)
    make_sink(f"mqtts://scope:wrong@{address}", authority=guarded.authority)
    until(lambda: caplog.messages)
    assert "not authorized" in caplog.messages[0] and "wrong" not in caplog.messages[0]
    caplog.clear()
    stranger = make_sink(f"mqtts://scope:p%40ss%20word@{address}")  # an authority that the system does not know
    until(lambda: caplog.messages)
    assert not stranger.connected
    with pytest.raises(UsageError, match="--mqtt-ca"):
        make_sink(f"mqtts://{address}", authority=guarded.settings.with_name("none.pem"))
