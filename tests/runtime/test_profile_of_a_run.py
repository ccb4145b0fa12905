"""What a run takes from the device profile: defaults and memory."""

from galaxy_edge.cli.run import run
from galaxy_edge.models.images import memory
from galaxy_edge.runtime.session import RunConfig, Session

PROFILE = """
name = "mine"
title = "My board"
machine = ["x86_64"]
engine = "litert"
threads = 3
verified = false
tiles = "2x1"
stack = 5
quota = 7
memory = 100
"""


def config_of(*arguments):
    """Return the configuration that the command makes of its options."""
    from galaxy_edge.cli.run import _config

    options = run.make_context("run", ["--camera", "demo", *map(str, arguments)]).params
    for name in ("as_json", "timings", "report"):  # of the command, not of the run
        options.pop(name)
    return _config(options)


def test_defaults_are_those_of_the_profile_and_options_take_precedence(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE)
    config = config_of("--device", path)
    assert (config.tiles, config.stack, config.quota) == ("2x1", 5, 7 * 2**20)
    config = config_of("--device", path, "--tiles", "off", "--stack", "1", "--quota", "1M")
    assert (config.tiles, config.stack, config.quota) == ("off", 1, 2**20)


def test_an_image_may_take_a_quarter_of_the_memory_of_the_profile(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE)
    before = memory.budget()
    try:
        session = Session(RunConfig(device=str(path), out=None))
        assert memory.budget() == 25 * 2**20 < before
        session.close()
    finally:
        memory.limit_run(0)
    assert memory.budget() == before
