"""A signature that is old, expired or by a revoked key; the shipped bundles' own."""

import shutil

import pytest
from galaxy_edge.models import newest_signed
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.models.newest_signed import newer_seen, state_file
from galaxy_edge.runtime.inference.bundles import CLASSIFIER, DETECTOR, RAW_DETECTOR, load_bundle

pytest.importorskip("cryptography", reason="needs the sign extra")
from galaxy_edge.models import release
from galaxy_edge.models.signature import SIGNATURE, SignatureError, fingerprint, generate_keypair, revoke, sign, verify


@pytest.fixture
def keys(tmp_path):
    return generate_keypair(tmp_path / "mine")


@pytest.fixture
def models(tmp_path):
    shutil.copytree(shipped_bundle_path(CLASSIFIER), tmp_path / "models" / CLASSIFIER)
    return tmp_path / "models"


def test_an_older_signed_bundle_is_refused_unless_it_is_allowed(models, keys):
    """Its old signature is still valid.

    Who can replace files brings a withdrawn network back with it.
    """
    bundle = Bundle.load(models / CLASSIFIER)
    sign(bundle, keys[0])
    old = (models / CLASSIFIER / SIGNATURE).read_text()
    newer = old.replace(old.splitlines()[1], "signed 2999-01-01T00:00:00Z")
    (models / CLASSIFIER / SIGNATURE).write_text(newer)
    with pytest.raises(SignatureError, match="or changed since"):
        verify(bundle, keys[1])  # the time is signed too
    (models / CLASSIFIER / SIGNATURE).write_text(old)
    load_bundle(models, CLASSIFIER, keys[1])
    load_bundle(models, CLASSIFIER, keys[1])
    assert newer_seen(fingerprint(keys[1]), CLASSIFIER, "2998-01-01T00:00:00Z") is None
    with pytest.raises(BundleError, match="one signed on 2998-01-01T00:00:00Z was used here before: --allow-older"):
        load_bundle(models, CLASSIFIER, keys[1])
    load_bundle(models, CLASSIFIER, keys[1], allow_older=True)


def test_a_signature_of_the_first_format_counts_from_the_bundles_creation(models, keys):
    """Bundles that were signed by version 0.1.0 stay valid."""
    bundle = Bundle.load(models / CLASSIFIER)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(keys[0].read_bytes(), None)
    signature = private.sign(f"galaxy-edge bundle {bundle.hash}".encode())
    (bundle.path / SIGNATURE).write_text(f"galaxy-edge signature 1\n{signature.hex()}\n")
    found = verify(bundle, keys[1])
    assert found.signed == bundle.manifest.created and found.expires == "never"


def test_expired_signatures_and_revoked_keys_are_refused(models, keys, tmp_path):
    bundle = Bundle.load(models / CLASSIFIER)
    sign(bundle, keys[0], expires="2030-01-01T00:00:00Z")
    assert verify(bundle, keys[1], now="2029-12-31T23:59:59Z").expires == "2030-01-01T00:00:00Z"
    for now in ("2030-01-01T00:00:00Z", "2031-06-01T00:00:00Z"):
        with pytest.raises(SignatureError, match="has expired"):
            verify(bundle, keys[1], now=now)
    revoke(generate_keypair(tmp_path / "other")[1], tmp_path / "revoked-keys")
    verify(bundle, keys[1], now="2029-01-01T00:00:00Z")
    revoke(keys[1], tmp_path / "revoked-keys")
    with pytest.raises(SignatureError, match="was revoked"):
        verify(bundle, keys[1], now="2029-01-01T00:00:00Z")


def test_what_was_seen_survives_damage_and_a_read_only_disk(tmp_path, monkeypatch, caplog):
    file = tmp_path / "state" / "newest.json"
    assert newer_seen("k", "n", "2026-02-01", file) is None and newer_seen("k", "n", "2026-01-01", file) == "2026-02-01"
    assert newer_seen("k", "m", "2026-01-01", file) is None and newer_seen("l", "n", "2026-01-01", file) is None
    file.write_text("[]")
    assert newer_seen("k", "n", "2026-01-01", file) is None and "is damaged" in caplog.text
    assert newer_seen("k", "n", "2026-01-01", tmp_path / "state" / "newest.json" / "x") is None
    assert "would not be noticed" in caplog.text
    assert state_file({"STATE_DIRECTORY": "/var/lib/g:/x"}) == newest_signed.Path("/var/lib/g/newest-bundles.json")


@pytest.mark.parametrize("name", [CLASSIFIER, DETECTOR, RAW_DETECTOR])
def test_the_shipped_bundles_are_those_of_the_list_and_signed(name):
    """After a shipped bundle was replaced: make sign-models KEY=..."""
    bundle = load_bundle(None, name)
    assert release.is_shipped(bundle) and verify(bundle, release.release_key()).expires == "never"


def test_a_replaced_shipped_bundle_is_refused_until_it_is_signed(tmp_path, monkeypatch):
    """A network replaced within the package is refused until it is signed.

    Its manifest and hashes are replaced too.
    """
    folder = shutil.copytree(release.shipped_folder(), tmp_path / "shipped")
    monkeypatch.setattr(release, "shipped_folder", lambda: folder)
    shutil.rmtree(folder / DETECTOR)
    shutil.copytree(folder / RAW_DETECTOR, folder / DETECTOR)
    with pytest.raises(BundleError, match="is not the bundle that this version was released with"):
        release.check_shipped(Bundle.load(folder / DETECTOR))
    release.sign_shipped(tmp_path / "keys" / "release.key", folder)
    release.check_shipped(Bundle.load(folder / DETECTOR))
    verify(Bundle.load(folder / DETECTOR), release.release_key())
    assert not list(folder.rglob("*.key"))
