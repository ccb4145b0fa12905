"""Runs with a live view: one that anybody on this machine may see, one that wants a token."""

import pytest


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A run with its live view on loopback."""
    from helpers.live_run import running  # needs the serve extra, without which these tests are skipped

    with running(tmp_path_factory.mktemp("live")) as one:
        one.until(lambda: one.json("/api/events"))
        yield one


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A run that wants a token."""
    from helpers.live_run import running  # needs the serve extra, without which these tests are skipped

    folder = tmp_path_factory.mktemp("guarded")
    with running(folder, token_file=folder / "token") as one:
        one.token = (folder / "token").read_text().strip()
        yield one
