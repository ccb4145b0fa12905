"""Messages reach real servers: a web hook, ntfy and SMTP.

Unreachable and hanging servers delay nothing.
"""

import base64
import email
import email.policy
import json
import socket
import threading
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
import pytest

pytest.importorskip("apprise", reason="needs the notify extra")
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.events.event import RunInfo
from galaxy_edge.runtime.notify.config import NotifyConfig
from galaxy_edge.runtime.notify.sink import NotifySink
from galaxy_edge.runtime.system.stop_deadline import StopDeadline
from helpers.command_line import galaxy_edge, galaxy_edge_in_process
from helpers.message_servers import closed_port, hanging_server, web_hook
from helpers.tracks import CLASSES, track, until

RUN = RunInfo(1, "0123abcd", CLASSES)


def side_of(image):
    return max(cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR).shape)


def make_sink(*urls, deadline=None, **options):
    config = NotifyConfig(urls, **{"settle": 0.0, **options})
    return NotifySink(config, RUN, deadline or StopDeadline())


@pytest.fixture
def server():
    with web_hook() as server:
        yield server


def test_web_hook_and_ntfy_receive_text_and_crop(server):
    sink = make_sink(f"json://{server.address}/hook", f"ntfy://{server.address}/my-topic")
    sink.events([track(7)])
    until(lambda: len(server.received) == 2)
    sink.close(1, 0)
    received = {urlsplit(path).path: (path, content) for path, _, content in server.received}
    hook = json.loads(received["/hook"][1])
    assert hook["title"] == f"Spiral ({socket.gethostname()})" and "detector score 0.90" in hook["message"]
    assert side_of(base64.b64decode(hook["attachments"][0]["base64"])) >= 320
    path, image = received["/my-topic"]
    assert parse_qs(urlsplit(path).query)["title"] == [hook["title"]] and side_of(image) >= 320


def test_mail_has_the_crop_attached():
    controller = pytest.importorskip("aiosmtpd.controller", reason="needs the dev extra")
    received = []

    class Mailbox:
        async def handle_DATA(self, server, session, envelope):
            received.append(envelope)
            return "250 OK"

    host, port = closed_port().split(":")
    smtp = controller.Controller(Mailbox(), hostname=host, port=int(port))
    smtp.start()
    try:
        sink = make_sink(f"mailto://{host}:{port}?smtp={host}&from=pier@example.org&to=me@example.org")
        sink.events([track(7)])
        until(lambda: received)
        sink.close(1, 0)
    finally:
        smtp.stop()
    mail = email.message_from_bytes(received[0].content, policy=email.policy.default)
    assert received[0].rcpt_tos == ["me@example.org"] and mail["Subject"].startswith("Spiral (")
    parts = {part.get_content_type(): part for part in mail.walk()}
    assert "detector score 0.90" in parts["text/plain"].get_content()
    assert side_of(parts["image/jpeg"].get_content()) >= 320


def test_server_that_fails_is_one_warning_without_secrets(server, caplog):
    server.status = 401
    sink = make_sink(f"json://me:secret@{server.address}/secret", f"ntfy://secret:secret@{closed_port()}/secret")
    sink.events([track(7)])
    until(lambda: len(caplog.messages) == 2)
    sink.events([track(8)])
    sink.close(2, 0)
    assert sorted(caplog.messages) == [
        "json://*** (service 1) cannot be notified: it answered with the error 401; detection continues",
        "json://*** (service 1) was not notified of 2 finds",
        "ntfy://*** (service 2) cannot be notified: it cannot be reached, or did not answer in time; "
        "detection continues",
        "ntfy://*** (service 2) was not notified of 2 finds",
    ]


def test_hanging_server_delays_neither_frames_nor_the_stop(server, caplog):
    """The thread that waits for it is left alone; the other service is notified."""
    deadline = StopDeadline()
    with hanging_server() as hangs:
        sink = make_sink(f"json://{hangs}/?rto=50", f"json://{server.address}/hook", deadline=deadline)
        sink.events([track(7)])
        until(lambda: server.received)
        sink.events([track(8)])
        deadline.start()
        sink.close(2, 0)
        assert [thread for thread in threading.enumerate() if thread.name.startswith("notify json://*** (service 1)")]
        assert caplog.messages == ["json://*** (service 1) was not notified of 2 finds"]
        assert len(server.received) == 2 and sink.services[1].sent == 2


def test_address_that_apprise_does_not_know_is_refused_without_showing_it():
    for url in ("foo://secret/secret", "tgram://secret"):
        with pytest.raises(UsageError, match="not an address that Apprise knows") as refused:
            make_sink(url)
        assert "secret" not in str(refused.value)


def test_test_command_sends_and_says_what_failed(server):
    good, bad = f"json://me:secret@{server.address}/hook", f"json://me:secret@{closed_port()}/hook"
    done = galaxy_edge_in_process("notify", "test", good)
    assert (done.returncode, done.stdout, done.stderr) == (0, "json://***: sent\n", "")
    done = galaxy_edge_in_process("notify", "test", env={"GALAXY_EDGE_RUN_NOTIFY": f"{good} {bad}"})
    assert done.returncode == 1 and "secret" not in done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "json://*** (service 1): sent",
        "json://*** (service 2): not sent: it cannot be reached, or did not answer in time",
    ]
    done = galaxy_edge_in_process("notify", "test", "foo://secret/x")
    assert done.returncode == 2 and "secret" not in done.stderr


def test_test_command_uses_the_settings_of_run(server, tmp_path):
    file = tmp_path / "galaxy-edge.toml"
    done = galaxy_edge_in_process("notify", "test", cwd=tmp_path)
    assert done.returncode == 2 and "give a URL" in done.stderr
    file.write_text(f"[run]\nnotify = ['json://{server.address}/hook']\n")
    file.chmod(0o600)
    assert galaxy_edge_in_process("notify", "test", cwd=tmp_path).returncode == 0
    assert len(server.received) == 1


def test_run_notifies_of_finds_of_its_rules(server, tmp_path):
    """The address comes from a credential's variable.

    Nothing of it is printed or stored.
    """
    done = galaxy_edge(
        "run", "--camera", "demo", "--max-frames", "40", "--no-report", "--out", tmp_path / "out", "--notify-class", "spiral",
        env={"GALAXY_EDGE_RUN_NOTIFY": f"json://me:secret@{server.address}/hook"},
    )  # fmt: skip
    assert done.returncode == 0 and "secret" not in done.stdout + done.stderr, done.stderr
    assert server.received and "piral" in json.loads(server.received[0][2])["message"]
    assert not any(b"secret@" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("rule", "warns"), [(("--notify-which", "known"), True), (("--notify-name", "M 94"), True), ((), False)]
)
def test_rules_that_need_positions_warn_where_nothing_is_solved(server, tmp_path, rule, warns):
    done = galaxy_edge_in_process(
        "run", "--camera", "demo", "--max-frames", "2", "--no-report", "--no-solve", "--out", tmp_path / "out",
        "--notify", f"json://{server.address}/hook", *rule,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ("need positions on the sky, and frames are not solved (--no-solve)" in done.stderr) == warns
