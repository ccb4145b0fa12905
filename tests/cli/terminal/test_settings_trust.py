"""Settings files in the working folder.

The owner and the permissions decide what they may set.
"""

import os

import pytest
from galaxy_edge.cli.terminal.settings_trust import UntrustedSettings, check_trust


def test_networks_named_by_our_own_file_are_logged(tmp_path, caplog):
    """A downloaded folder may hold a file that names its own networks.

    Our user's, but not unseen.
    """
    file = tmp_path / "galaxy-edge.toml"
    file.touch()
    check_trust(file, {"models": "evil", "source": "demo"})
    assert caplog.messages == [f"models = evil from {file}"]
    caplog.clear()
    check_trust(file, {"source": "demo", "stack": 4, "mqtt": "mqtt://me:pw@h"})
    assert not caplog.messages


def test_notification_services_of_a_file_that_is_not_ours_are_refused_without_their_tokens(tmp_path):
    file = tmp_path / "galaxy-edge.toml"
    file.touch()
    file.chmod(0o666)
    with pytest.raises(UntrustedSettings) as refused:
        check_trust(file, {"notify": ["tgram://secret/secret", "json://me:secret@host/secret"]})
    assert "notify = ***" in str(refused.value) and "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["models", "engine", "device", "require_signature", "mqtt"])
@pytest.mark.parametrize("whose", ["another user's file", "another user's folder", "a file that all may change"])
def test_networks_named_by_a_file_that_is_not_ours_are_refused(tmp_path, key, whose):
    file = tmp_path / "galaxy-edge.toml"
    file.touch()
    if whose.startswith("another"):
        if os.geteuid() != 0:
            pytest.skip("giving a file away needs root")
        os.chown(file if whose.endswith("file") else tmp_path, 12345, -1)
    else:
        file.chmod(0o666)
    with pytest.raises(UntrustedSettings, match=f"sets {key.replace('_', '-')} = x, and .*--config"):
        check_trust(file, {"train": {"detector": {key: "x"}}} if key == "engine" else {key: "x"})
    check_trust(file, {"source": "demo"})
