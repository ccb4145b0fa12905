"""Runs with a live page.

One open to every user of this machine, one that requires a token.
"""

import pytest


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A run with its live page on loopback."""
    from helpers.live_run import running  # needs the serve extra, without which these tests are skipped

    with running(tmp_path_factory.mktemp("live")) as run:
        run.until(lambda: run.json("/api/events"))
        yield run


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A run that requires a token."""
    from helpers.live_run import running  # needs the serve extra, without which these tests are skipped

    folder = tmp_path_factory.mktemp("guarded")
    with running(folder, token_file=folder / "token") as run:
        run.token = (folder / "token").read_text().strip()
        yield run
