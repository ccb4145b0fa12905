"""The live page over an encrypted connection, with a certificate made for it."""

import datetime
import stat
import urllib.error

import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
x509 = pytest.importorskip("cryptography.x509", reason="needs the sign extra")
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.system.certificate import load_or_create_certificate
from helpers.live_run import running


def test_encrypted_page_is_answered_and_its_cookie_stays_encrypted(tmp_path):
    """A client that trusts the certificate connects; one that does not refuses."""
    with running(tmp_path, token_file=tmp_path / "token", tls=True) as live:
        assert live.address.startswith("https://")
        token = (tmp_path / "token").read_text().strip()
        status, headers, _ = live.ask("/login", {"token": token})
        assert status == 204 and "Secure" in headers["Set-Cookie"]
        live.trusted = None
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            live.ask("/healthz")
        assert live.warnings == []


def test_certificate_is_kept_and_replaced_when_it_no_longer_fits(tmp_path):
    """Browsers that trusted it must not be asked again after each start."""
    first = load_or_create_certificate(tmp_path, ["dome1.local", "192.168.1.23"])
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    assert load_or_create_certificate(tmp_path, ["192.168.1.23", "dome1.local"]) == first
    moved = load_or_create_certificate(tmp_path, ["dome1.local", "10.0.0.9"])
    assert moved.fingerprint != first.fingerprint
    made = x509.load_pem_x509_certificate(moved.path.read_bytes())
    assert made.not_valid_after_utc - made.not_valid_before_utc <= datetime.timedelta(days=397)
    moved.path.write_text("damaged")
    with pytest.raises(UsageError, match="delete it to get a new one"):
        load_or_create_certificate(tmp_path, ["dome1.local"])
