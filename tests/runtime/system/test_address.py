"""A camera's password goes to the camera and nowhere else: not to the screen, the files, or who watches."""

import pytest
from galaxy_edge.benchmarks.performance.synthetic_sources import NetworkCamera
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.system.address import redact_credentials
from helpers.command_line import galaxy_edge


@pytest.mark.parametrize(("address", "shown"), [
    ("rtsp://me:secret@scope:554/live", "rtsp://me:***@scope:554/live"),
    ("rtsp://:secret@scope/", "rtsp://:***@scope/"),
    ("rtsp://me:s@cr/et@scope/x", "rtsp://me:***@scope/x"),  # not allowed so, but typed so
    ("http://scope/video.cgi?user=me&pwd=secret&size=2", "http://scope/video.cgi?user=me&pwd=***&size=2"),
    ("http://scope/v?Password=secret#top", "http://scope/v?Password=***#top"),
    ("http://scope/v?access_token=secret", "http://scope/v?access_token=***"),
    ("http://scope:8080/mail/a@b", "http://scope:8080/mail/a@b"),
    ("http://me@scope/x", "http://me@scope/x"),
    ("/dev/video0", "/dev/video0"), ("demo", "demo"),
])  # fmt: skip
def test_what_is_secret_in_an_address_is_hidden(address, shown):
    assert redact_credentials(address) == shown


def test_no_file_and_no_line_of_a_run_holds_the_password(tmp_path):
    camera = NetworkCamera()
    url = camera.url.replace("://", "://me:opensesame@") + "?pwd=opensesame"
    done = galaxy_edge("run", "--camera", url, "--out", tmp_path / "out", "--max-frames", 4, "--json")
    camera.disconnect()
    assert done.returncode == 0 and done.stdout.count('"source": "http://me:***@127.0.0.1') == 4
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) > 2 and b"me:***@127.0.0.1" in b"".join(written)
    assert b"opensesame" not in b"".join(written) + (done.stdout + done.stderr).encode()


@pytest.mark.parametrize("address", ["rtsp://me:opensesame@127.0.0.1:9/x", "rtmp://me:opensesame@127.0.0.1:9/x"])
def test_nor_does_an_error(address):
    with pytest.raises(UsageError, match=r"me:\*\*\*@127") as caught:
        open_source(address, lambda _: None)
    assert "opensesame" not in str(caught.value)
