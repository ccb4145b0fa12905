"""The README's way from nothing to a find.

``python tests/helpers/fresh_debian.py`` follows it in a fresh Debian; here it is only read.
"""

from helpers import fresh_debian


def test_the_commands_of_a_new_user_are_found_in_the_readme():
    (packages, *install), run = fresh_debian.readme_commands()
    assert packages.startswith("sudo apt install ") and install == ["make install"]
    assert run.startswith("galaxy-edge run ") and "--serve 8080" in run


def test_how_the_index_is_reached_is_passed_on_and_nothing_else(monkeypatch, tmp_path):
    """A developer's own environment would hide what a new user lacks."""
    for name in ("PIP_INDEX_URL", "https_proxy", "PYTHONPATH", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "here")
    command = fresh_debian.as_user(tmp_path, "true")
    assert {"PIP_INDEX_URL=here", "https_proxy=here"} < set(command)
    assert not any(part.startswith(("PYTHONPATH", "PIP_FIND_LINKS")) for part in command)


def test_a_machine_without_the_programs_says_so(monkeypatch):
    monkeypatch.setattr(fresh_debian.shutil, "which", lambda _: None)
    monkeypatch.setattr(fresh_debian.os, "geteuid", lambda: 0)
    assert (fresh_debian.missing() or "").startswith("needs ")
