"""Which broker: its address, its topics, its password and its certificate."""

import shutil
import subprocess

import pytest

pytest.importorskip("paho.mqtt.client", reason="needs the mqtt extra")
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.mqtt.publisher import parse_broker
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
def test_addresses_that_are_none(url):
    with pytest.raises(UsageError, match="broker"):
        parse_broker(url, "sky", "", 1.0)


@pytest.mark.parametrize("prefix", ["", "a/#", "a+b", "/a", "a/", "x" * 201, "a\udcff"])
def test_prefixes_that_are_no_topics(prefix):
    with pytest.raises(UsageError, match="topic"):
        parse_broker("mqtt://host", prefix, "", 1.0)


def test_a_password_is_never_told():
    with pytest.raises(UsageError) as problem:
        parse_broker("ftp://me:secret@host", "sky", "", 1.0)
    assert "secret" not in str(problem.value)
    with pytest.raises(UsageError) as problem:  # '#' ends an address: what stands before it would be host and port
        parse_broker("mqtt://me:1234#secret@host", "sky", "", 1.0)
    assert "1234" not in str(problem.value) and "secret" not in str(problem.value)
    broker = parse_broker("mqtts://me:p%40ss@host", "sky", "", 1.0)
    assert (broker.user, broker.password, broker.port, broker.tls) == ("me", "p@ss", 8883, True)
    assert "p@ss" not in broker.name


@pytest.fixture
def guarded(tmp_path):
    """A broker that wants a password, behind TLS, with a certificate of its own authority."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    for program in ("openssl", "mosquitto_passwd"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    one = Mosquitto(
        folder,
        f"allow_anonymous false\npassword_file {folder}/passwords\ncafile {folder}/ca.pem\n"
        f"certfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n",
    )
    subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "passwords", "scope", "p@ss word"], check=True)
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        [*new, "-subj", "/CN=authority", "-keyout", folder / "ca.key", "-out", folder / "ca.pem"],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [
            *new,
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
    one.authority = folder / "ca.pem"
    one.start()
    yield one
    one.kill()


def test_a_broker_with_password_and_certificate(guarded, publisher):
    address = f"127.0.0.1:{guarded.port}"
    one = publisher(f"mqtts://scope:p%40ss%20word@{address}", authority=guarded.authority)
    one.events([track(1, ended=True)])
    until(lambda: one._given == 2 and len(one._outbox) == 0)
    assert one.told == []
    one.close(0, 0)
    wrong = publisher(f"mqtts://scope:wrong@{address}", authority=guarded.authority)
    until(lambda: wrong.told)
    assert "not authorized" in wrong.told[0] and "wrong" not in wrong.told[0]
    stranger = publisher(f"mqtts://scope:p%40ss%20word@{address}")  # an authority that the system does not know
    until(lambda: stranger.told)
    assert not stranger._connected
    with pytest.raises(UsageError, match="--mqtt-ca"):
        publisher(f"mqtts://{address}", authority=guarded.settings.with_name("none.pem"))
