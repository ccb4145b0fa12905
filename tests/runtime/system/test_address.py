"""Check that a camera's password reaches the camera only.

Not the terminal, the files or the live view.
"""

from pathlib import Path

import pytest
from galaxy_edge.benchmarks.performance.synthetic_sources import NetworkCamera
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.sources.watched_folder import WatchedFolderSource
from galaxy_edge.runtime.system.address import redact_credentials
from helpers.command_line import galaxy_edge

SECRET = "tlJwpbo6"


@pytest.mark.parametrize(("address", "shown"), [
    ("rtsp://me:secret@scope:554/live", "rtsp://***@scope:554/live"),
    ("rtsp://:secret@scope/", "rtsp://***@scope/"),
    ("rtsp://me:s@cr/et@scope/x", "rtsp://***"),  # where such a password ends is not certain
    ("http://scope/video.cgi?pwd=secret&size=2", "http://scope/***"),
    ("http://scope:8080/mail/a@b", "http://***"),
    ("http://scope/axis-cgi/mjpg/video.cgi?resolution=640x480&fps=5",
     "http://scope/axis-cgi/mjpg/video.cgi?resolution=640x480&fps=5"),
    ("rtsp://scope:554/h264Preview_01_main", "rtsp://scope:554/h264Preview_01_main"),
    ("rtsp://[::1]/Streaming/Channels/101", "rtsp://[::1]/Streaming/Channels/101"),
    ("rtsp://10.0.0.2/cam/realmonitor?channel=1&subtype=0", "rtsp://10.0.0.2/cam/realmonitor?channel=1&subtype=0"),
    ("/dev/video0", "/dev/video0"), ("demo", "demo"), ("0.0.0.0:8080", "0.0.0.0:8080"), ("galaxy-edge/m", "galaxy-edge/m"),
    ("/dev/video0?exposure=20ms&format=Y16-BE&size=1280x720", "/dev/video0?exposure=20ms&format=Y16-BE&size=1280x720"),
    ("0?white_balance_temperature=4600", "0?white_balance_temperature=4600"),
    ("picamera2:1?exposure=10&gain=8.5&wb=2.1,1.6&raw=1", "picamera2:1?exposure=10&gain=8.5&wb=2.1,1.6&raw=1"),
    ("watch:/media/night", "watch:/media/night"), ("m31 2026-11-22T21:04:05.fits", "m31 2026-11-22T21:04:05.fits"),
])  # fmt: skip
def test_only_what_is_known_to_be_harmless_in_an_address_is_shown(address, shown):
    assert redact_credentials(address) == shown


@pytest.mark.parametrize("address", [
    "rtsp://h:554/user=admin_password={}_channel=1_stream=0.sdp?real_stream",  # XMEye
    "http://h/cgi-bin/hi3510/snap.cgi?usr=a&loginpas={}", "http://h/snapshot.cgi?loginuse=a&loginpas={}&next_url=x",
    "http://h/c?psw={}", "http://h/c?p={}", "http://h/c?login=u:{}", "http://h/c?size=2;p={}", "http://h/c?{}",
    "http://h/v#{}", "rtsp://{}@h/x", "http://{}:x-oauth-basic@h/x", "rtsp://me:%40{}%2F@h/x", "rtsp://me:{}",
    "rtsps://h:7441/{}?enableSrtp", "rtmp://h/live/{}", "http://h/{}/live",  # the path is the secret
    "rtsp://me:a@b/{}@h/x", "http://h/v?x=1&pwd=a@{}", "rtsp://me:8554/{}@h", "rtsp://me:a?{}@h", "rtsp://me:a#{}@h",
    "http://h/c?pwd=live&{}&size=2", "http://h/pass=video_{}_channel=1", "http://h/pass=video/{}",
    "rtsp:/me:{}@h/x", "rtsp//me:{}@h/x", "rtsp:me:{}@h", "http:\\\\me:{}@h", "http;//me:{}@h", "rtps://me:{}@h/{}",
    "rtsp:///me:{}@h", " rtsp://me:{}@h/x", "'rtsp://me:{}@h/x'", "me:{}@h/x", "me@h:{}", "h/c?pwd={}", "RTSP://me:{}@h",
    "watch:smb://me:{}@h/share", "rtsp\uff1a//me\uff1a{}\uff20h", "rtsp://me:{}\n@h/", "h/user=admin_password={}_x", "rtsp:{}",
    "0?password={}", "/dev/video0?gain={}", "picamera2?raw=1&token={}", "picamera2?pwd={}", "/dev/video0?format={}",
])  # fmt: skip
def test_no_form_of_a_secret_is_shown(address):
    """Forms of cameras' manuals and of bug reports, and forms that are mistyped."""
    assert SECRET not in redact_credentials(address.replace("{}", SECRET))


def test_no_output_file_or_line_of_a_run_contains_the_password(tmp_path):
    camera = NetworkCamera()
    url = camera.url.replace("://", "://me:opensesame@") + "?pwd=opensesame"
    completed = galaxy_edge("run", "--camera", url, "--out", tmp_path / "out", "--max-frames", 4, "--json")
    camera.disconnect()
    assert completed.returncode == 0 and completed.stdout.count('"source": "http://***@127.0.0.1') == 4
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) > 2 and b"***@127.0.0.1" in b"".join(written)
    assert b"opensesame" not in b"".join(written) + (completed.stdout + completed.stderr).encode()


@pytest.mark.parametrize("address", ["rtsp://me:opensesame@127.0.0.1:9/x", "rtmp://me:opensesame@127.0.0.1:9/x"])
def test_error_for_an_unreachable_camera_hides_the_password(address):
    with pytest.raises(UsageError, match=r"\*\*\*@127") as caught:
        open_source(address, lambda _: None)
    assert "opensesame" not in str(caught.value)


@pytest.mark.parametrize("arguments", [
    ("run", "--camera", "demo", "rtsp://me:opensesame@scope/x"), ("rtsp://me:opensesame@scope/x",),
    ("run", "--camera", "demo", "--mqtt", "mqtt://me:opensesame@scope/x"), ("run", "--camera", "me:opensesame@scope/x"),
    ("run", "--camera", "demo", "--engine=rtsp://me:opensesame@scope/x"),
])  # fmt: skip
def test_command_line_errors_hide_the_password(arguments, tmp_path):
    """An address as an unexpected argument, which click repeats, has no password."""
    completed = galaxy_edge(*arguments)
    assert completed.returncode == 2 and "opensesame" not in completed.stdout + completed.stderr


def test_a_watched_share_is_named_without_its_password():
    assert "opensesame" not in WatchedFolderSource(Path("smb://me:opensesame@server/share")).name


def test_a_settings_file_with_a_password_that_others_can_read_is_reported(tmp_path):
    """`config check`, `config show` and `run` say it once, with what to do.

    A private file is not mentioned.
    """
    settings = tmp_path / "galaxy-edge.toml"
    settings.write_text('[run]\ncamera = "demo"\nmqtt = "mqtt://me:opensesame@127.0.0.1"\n')
    for mode, expected in ((0o644, True), (0o640, True), (0o600, False)):
        settings.chmod(mode)
        done = galaxy_edge("config", "check", settings)
        assert done.returncode == 0 and (f"chmod 600 {settings}" in done.stderr) == expected, done.stderr
        assert "opensesame" not in done.stdout + done.stderr
    for value in ('["rtsp://me:opensesame@h"]', '{u = "rtsp://me:opensesame@h"}'):
        settings.write_text(f"[run]\ncamera = {value}\n")
        done = galaxy_edge("config", "check", settings)
        assert done.returncode == 1 and "opensesame" not in done.stdout + done.stderr
