"""Signatures: only what was signed with the key, and not changed, is accepted."""

import shutil
import stat
import subprocess
import sys

import pytest
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.models.signature import SIGNATURE, SignatureError, generate_keypair, sign, verify
from helpers.command_line import galaxy_edge
from helpers.command_line import galaxy_edge_in_process as command_line

pytest.importorskip("cryptography", reason="needs the sign extra")


@pytest.fixture
def keys(tmp_path):
    return generate_keypair(tmp_path / "mine")


@pytest.fixture
def bundle(tiny_models, tmp_path):
    return Bundle.load(shutil.copytree(tiny_models / "galaxy-classifier", tmp_path / "galaxy-classifier"))


def test_what_was_signed_is_accepted(bundle, keys):
    secret, public = keys
    sign(bundle, secret)
    verify(Bundle.load(bundle.path), public)
    verify(Bundle.load(bundle.path), secret)  # the private key contains the public one
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_another_key_is_refused(bundle, keys, tmp_path):
    sign(bundle, keys[0])
    with pytest.raises(SignatureError, match="was not signed with the key"):
        verify(bundle, generate_keypair(tmp_path / "other")[1])


def test_a_manifest_changed_after_signing_is_refused(bundle, keys):
    sign(bundle, keys[0])
    manifest = bundle.path / "bundle.toml"
    manifest.write_text(manifest.read_text().replace('licence = "Apache-2.0"', 'licence = "GPL-3.0"'))
    with pytest.raises(SignatureError, match="or changed since"):
        verify(Bundle.load(bundle.path), keys[1])


def test_a_file_changed_after_signing_is_refused(bundle, keys):
    sign(bundle, keys[0])
    (bundle.path / "int8.tflite").write_bytes(b"another")
    with pytest.raises(BundleError, match="was changed"):
        Bundle.load(bundle.path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"galaxy-edge signature 1\nxyz\n",
        b"galaxy-edge signature 2\n00\n",
        b"galaxy-edge signature 1\n" + b"00" * 64 + b"\n",
    ],
)
def test_invalid_signature_is_refused(bundle, keys, content):
    (bundle.path / SIGNATURE).write_bytes(content)
    with pytest.raises(SignatureError, match=r"is not a signature|not signed with"):
        verify(bundle, keys[1])


def test_wrong_keys_are_refused(bundle, keys, tmp_path):
    with pytest.raises(SignatureError, match="not signed: it has no"):
        verify(bundle, keys[1])
    with pytest.raises(SignatureError, match="signing needs the private one"):
        sign(bundle, keys[1])
    with pytest.raises(SignatureError, match="no key file"):
        sign(bundle, tmp_path / "nothing.key")
    (tmp_path / "x.key").write_text("hello")
    with pytest.raises(SignatureError, match="is not a key file"):
        sign(bundle, tmp_path / "x.key")
    with pytest.raises(SignatureError, match="never overwritten"):
        generate_keypair(tmp_path / "mine")


def test_commands_create_keys_sign_and_verify(bundle, tiny_models, tmp_path):
    assert command_line("bundle", "keygen", tmp_path / "k").returncode == 0
    assert command_line("bundle", "sign", "--key", tmp_path / "k.key", bundle.path).returncode == 0
    good = command_line("bundle", "verify", "--key", tmp_path / "k.pub", bundle.path)
    assert good.returncode == 0 and "identical to the golden" in good.stdout and "signed with" in good.stdout
    bad = command_line("bundle", "verify", "--key", tmp_path / "k.pub", tiny_models / "galaxy-detector")
    assert bad.returncode == 1 and "not signed" in bad.stderr and "Traceback" not in bad.stderr
    run = galaxy_edge(
        "run",
        "--camera",
        "demo",
        "--models",
        tiny_models,
        "--max-frames",
        1,
        "--require-signature",
        tmp_path / "k.pub",
        "--out",
        tmp_path / "out",
    )
    assert run.returncode == 1 and "galaxy-detector is not signed" in run.stderr and not (tmp_path / "out").exists()


def test_missing_package_names_the_extra(bundle, keys):
    sign(bundle, keys[0])
    script = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from pathlib import Path\nfrom galaxy_edge.models.bundle import Bundle\n"
        "from galaxy_edge.models.signature import SignatureError, verify\n"
        "try: verify(Bundle.load(sys.argv[1]), Path(sys.argv[2]))\n"
        "except SignatureError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, bundle.path, keys[1]], capture_output=True, text=True)
    assert "pip install 'galaxy-edge[sign]'" in done.stdout, done.stderr
