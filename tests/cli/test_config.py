"""Settings from `galaxy-edge.toml`, the environment and flags.

The options are the schema of all three.
"""

import json
import re

import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.cli.settings import options_of
from galaxy_edge.errors import UserError
from helpers.command_line import galaxy_edge as command_line


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, **env):
    return CliRunner().invoke(cli, arguments, env=env)


def shown(*more, **env):
    done = run(*more, "config", "show", "--json", **env)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_flag_overrides_environment_and_environment_overrides_file(here):
    """The order that the documentation promises, in `config show` and in a run."""
    (here / "galaxy-edge.toml").write_text('[run]\ncamera = "demo"\nmax-frames = 7\nout = "nights"\n')
    settings = shown(GALAXY_EDGE_RUN_MAX_FRAMES="5")
    assert settings["camera"] == {"value": "demo", "from": "file"}
    assert settings["max-frames"] == {"value": 5, "from": "GALAXY_EDGE_RUN_MAX_FRAMES"}
    assert settings["keep-free"] == {"value": "256M", "from": "default"}
    done = command_line("run", "--max-frames", "2", "--json", cwd=here, env={"GALAXY_EDGE_RUN_MAX_FRAMES": "5"})
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2 and (here / "nights" / "events.sqlite").exists()


def test_another_file_is_given_before_the_command(here):
    """The file is given by --config or its variable.

    Otherwise only the file in the working folder is read.
    """
    (here / "field.toml").write_text("[run]\nthreads = 3\n")
    assert shown("--config", "field.toml")["threads"] == {"value": 3, "from": "file"}
    assert shown(GALAXY_EDGE_CONFIG="field.toml")["threads"]["value"] == 3
    assert shown()["threads"]["value"] is None


def test_tables_are_named_after_commands(here):
    """Commands of groups are nested tables."""
    (here / "galaxy-edge.toml").write_text(
        '[train.detector]\nepochs = 3\n[bench]\nrounds = 5\n[events.list]\nclass = "spiral"\n'
    )
    done = run("config", "check")
    assert done.exit_code == 0 and "3 settings" in done.output
    assert json.loads(run("config", "show", "bench", "--json").stdout)["rounds"] == {"value": 5, "from": "file"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[run]\nmin_score = 0.5", [":2: unknown key 'min_score'; did you mean 'min-score'?"]),
        ("# all\n\n[run]\nthreds = 2", [":4: unknown key 'threds'; did you mean 'threads'?"]),
        ("camera = 'demo'", [":1: unknown key 'camera'; it belongs in [run]"]),
        ("run = 5", [":1: 'run' is a command: its settings belong in one table [run]"]),
        ("[[bench]]\nrounds = 5", [":1: 'bench' is a command"]),
        ("[run]\ntiles = 'foo'", [":2: 'tiles' is invalid: tiles are auto, off or columns x rows"]),
        ("[run]\nserve = 'abc'", [":2: 'serve' is invalid: 'abc' is not an address"]),
        ("[run]\nmqtt = 'nobroker'", [":2: 'mqtt' is invalid: 'nobroker' is not a broker"]),
        ("[run]\nmqtt-prefix = 'a/#'", [":2: 'mqtt-prefix' is invalid: 'a/#' is not a topic"]),
        ("[run]\ndevice = 'nope'", [":2: 'device' is invalid: there is no profile 'nope'"]),
        ("[rum]\ncamera = 'demo'", [":1: unknown table 'rum'; did you mean 'run'?"]),
        ("run.threds = 2", [":1: unknown key 'threds'"]),
        ("[run]\nthreads = '2'", [":2: 'threads' must be a whole number, not '2'"]),
        ("[run]\nthreads = true", [":2: 'threads' must be a whole number, not True"]),
        ("[run]\nthreads = 0", [":2: 'threads' is invalid: 0 is not in the range"]),
        ("[run]\nmin-score = 1.5", [":2: 'min-score' is invalid: 1.5 is not in the range"]),
        ("[run]\nshow = 'yes'", [":2: 'show' must be true or false, not 'yes'"]),
        ("[run]\nengine = 'fast'", [":2: 'engine' is invalid: 'fast' is not one of"]),
        ("[run]\nquota = '2 gigabytes'", [":2: 'quota' is invalid", "is not a size"]),
        ("[run]\ncamera = 3", [":2: 'camera' must be a string, not 3"]),
        ("[run]\ncamera = ['a']\nout = 1", [":2: 'camera' must be a string", ":3: 'out' must be a string"]),
        # The content of a string is neither a key nor a table.
        ('[run]\ncamera = """\nthreads = 5\n[bench]\n"""\nthreads = 0', [":6: 'threads' is invalid"]),
        ("[run]\ncamera = '''\nthreads = \\'''\nthreads = 0", [":4: 'threads' is invalid"]),
        ('[run]\ncamera = """a\\"""\\"\nthreads = 5""""\nthreads = 0', [":4: 'threads' is invalid"]),
        ("# don't\n[run]\ncamera = '#'\nthreads = 0 # don't", [":4: 'threads' is invalid"]),
        ("[run]\ncamera = [\n'threads = 5',\n]\n\"threads\" = 0", [":5: 'threads' is invalid"]),
        # Nor is an array in an array, which alone on its line looks like a table.
        (
            "[run]\ncamera = [\n  [1, 2],\n  [3]\n]\nthreads = 0",
            [":2: 'camera' must be a string", ":6: 'threads' is invalid"],
        ),
        (
            "[bench]\nengine = [\n[[\n['run']]]\n]\nthreads = 3\n[run]\nthreads = 0",
            [":6: unknown key 'threads'", ":8: 'threads' is invalid"],
        ),
        ("[run]\nserve = [{a = [\n1], b = [\n['bench']\n]}]\nthreads = 0", [":6: 'threads' is invalid"]),
        ("[run]\ncamera = 'a\u2028b'\nthreads = 0", [":3: 'threads' is invalid"]),
        ("[run\n", ["is not valid TOML", "line 1"]),
        ("[run]\nhelp = true", [":2: unknown key 'help'"]),
    ],
)
def test_errors_name_the_line(here, text, expected):
    """`config check` lists them, and a run refuses to start."""
    (here / "galaxy-edge.toml").write_text(text)
    done = run("config", "check")
    assert done.exit_code != 0
    message = done.output + str(done.exception)
    assert all(part in message for part in expected), message
    with pytest.raises(UserError) as error:
        run_raising("run", "--camera", "demo")
    assert all(part in str(error.value) for part in expected) and error.value.exit_code == 2


def run_raising(*arguments):
    cli.main(arguments, prog_name="galaxy-edge", standalone_mode=False)


def test_unknown_variable_is_an_error(here):
    """A misspelt variable would otherwise be ignored silently."""
    done = command_line("run", "--camera", "demo", cwd=here, env={"GALAXY_EDGE_RUN_THREDS": "2"})
    assert done.returncode == 2 and "GALAXY_EDGE_RUN_THREDS; did you mean 'GALAXY_EDGE_RUN_THREADS'?" in done.stderr
    assert not (here / "galaxy-edge-out").exists()
    (here / "galaxy-edge.toml").write_text("")
    assert run("config", "check", GALAXY_EDGE_EVENTS_LIST_LIMITS="2").exit_code == 1


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("GALAXY_EDGE_RUN_STACK", "abc", "GALAXY_EDGE_RUN_STACK must be a whole number, not 'abc'"),
        ("GALAXY_EDGE_RUN_TILES", "foo", "GALAXY_EDGE_RUN_TILES is invalid: tiles are"),
        ("GALAXY_EDGE_RUN_SHOW", "perhaps", "GALAXY_EDGE_RUN_SHOW must be true or false"),
        (
            "GALAXY_EDGE_RUNN_CAMERA",
            "demo",
            "unknown variable GALAXY_EDGE_RUNN_CAMERA; did you mean 'GALAXY_EDGE_RUN_CAMERA'?",
        ),
    ],
)
def test_environment_is_checked_like_the_file(here, variable, value, expected):
    """Messages are the same, although every value in the environment is text."""
    (here / "galaxy-edge.toml").write_text("")
    done = run("config", "check", **{variable: value})
    assert done.exit_code == 1 and expected in done.output
    assert run("config", "check", GALAXY_EDGE_RUN_STACK="4", GALAXY_EDGE_RUN_SHOW="1").exit_code == 0


def test_settings_of_a_command_in_a_group_are_shown_with_their_origin(here):
    """`config show` takes the name of the group and the command."""
    (here / "galaxy-edge.toml").write_text("[train.detector]\nepochs = 3\n")
    settings = json.loads(
        run("config", "show", "train detector", "--json", GALAXY_EDGE_TRAIN_DETECTOR_IMAGES="64").stdout
    )
    assert settings["epochs"] == {"value": 3, "from": "file"}
    assert settings["images"] == {"value": 64, "from": "GALAXY_EDGE_TRAIN_DETECTOR_IMAGES"}


@pytest.mark.parametrize(
    ("command", "key", "value", "parameter"),
    [
        ("run", "json", True, "AS_JSON"),
        ("events list", "class", "spiral", "NAME"),
        ("events show", "in", "nights", "FOLDER"),
        ("events prune", "all", True, "EVERYTHING"),
    ],
)
def test_variable_is_named_after_the_flag(here, command, key, value, parameter):
    """Users know the flag, but not the parameter of the function."""
    prefix = f"GALAXY_EDGE_{command.replace(' ', '_').upper()}"
    text = "1" if value is True else value
    settings = json.loads(run("config", "show", command, "--json", **{f"{prefix}_{key.upper()}": text}).stdout)
    assert settings[key] == {"value": value, "from": f"{prefix}_{key.upper()}"}
    (here / "galaxy-edge.toml").write_text("")
    assert run("config", "check", **{f"{prefix}_{key.upper()}": text}).exit_code == 0
    assert f"unknown variable {prefix}_{parameter}" in run("config", "check", **{f"{prefix}_{parameter}": text}).output


def test_variables_of_flags_are_used(here):
    """A switch is set by 1, and commands in groups have variables too."""
    done = command_line(
        "run",
        cwd=here,
        env={
            "GALAXY_EDGE_RUN_CAMERA": "demo",
            "GALAXY_EDGE_RUN_JSON": "1",
            "GALAXY_EDGE_RUN_MAX_FRAMES": "2",
        },
    )
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == [0, 1], done.stderr
    env = {
        "GALAXY_EDGE_EVENTS_LIST_IN": "galaxy-edge-out",
        "GALAXY_EDGE_EVENTS_LIST_CLASS": "no such class",
        "GALAXY_EDGE_EVENTS_LIST_FORMAT": "json",
    }
    assert run("events", "list", **env).stdout == "[]\n"
    pruned = run("events", "prune", GALAXY_EDGE_EVENTS_PRUNE_ALL="1", GALAXY_EDGE_EVENTS_PRUNE_JSON="1")
    assert pruned.exit_code == 0 and "events" in json.loads(pruned.stdout), pruned.output


def test_data_set_can_be_given_by_either_variable(here):
    """GALAXY_EDGE_DATA is shared by all commands that need data."""
    for variable in ("GALAXY_EDGE_DATA", "GALAXY_EDGE_TRAIN_DETECTOR_DATA"):
        env = {"GALAXY_EDGE_DATA": None, variable: "sets"}
        settings = json.loads(run("config", "show", "train detector", "--json", **env).stdout)
        assert settings["data"] == {"value": "sets", "from": variable}


def test_invalid_arguments_start_no_run(here):
    """They are refused before anything is written."""
    for arguments in (
        ["--tiles", "foo"],
        ["--profile", "/nowhere/x"],
        ["--serve", "abc"],
        ["--mqtt", "foo"],
        ["--mqtt-ca", "none"],
        ["--models", "/nowhere"],
        ["--require-signature", "none"],
    ):
        done = command_line("run", "--camera", "demo", *arguments, cwd=here)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert list(here.iterdir()) == []


def test_file_written_by_init_is_valid_and_complete(here):
    """Every setting is in it, and every example is a valid value."""
    assert run("config", "init").exit_code == 0
    text = (here / "galaxy-edge.toml").read_text()
    assert (here / "galaxy-edge.toml").stat().st_mode & 0o777 == 0o600
    for key in options_of(cli.commands["run"]):
        assert f"\n#{key} = " in text
    assert run("config", "check").exit_code == 0
    # Uncommented, every example is a valid value.
    (here / "galaxy-edge.toml").write_text(re.sub(r"^#(?=[a-z-]+ = )", "", text, flags=re.M))
    done = run("config", "check")
    assert done.exit_code == 0, done.output
    assert "already exists" in run("config", "init").output
    assert run("config", "init", "--force").exit_code == 0


def test_passwords_are_not_shown(here):
    """The output of `config show` ends up in bug reports."""
    (here / "galaxy-edge.toml").write_text('[run]\ncamera = "rtsp://me:secret@scope/stream"\n')
    done = run("config", "show")
    assert "secret" not in done.output and "rtsp://***@scope" in done.output


def test_list_of_addresses_is_shown_without_tokens_and_checked(here, monkeypatch):
    file = here / "galaxy-edge.toml"
    file.write_text("[run]\nnotify = ['tgram://secret/secret', 'ntfy://secret/secret']\n")
    file.chmod(0o600)
    done = run("config", "show", "--json")
    assert json.loads(done.output)["notify"] == {"value": ["***", "***"], "from": "file"}
    monkeypatch.setenv("GALAXY_EDGE_RUN_NOTIFY", "tgram://secret/secret")
    assert json.loads(run("config", "show", "--json").output)["notify"]["from"] == "GALAXY_EDGE_RUN_NOTIFY"
    assert "secret" not in run("config", "show").output
    monkeypatch.setenv("GALAXY_EDGE_RUN_NOTIFY", "tgram://secret/secret secret-token")
    message = str(run("config", "show").exception)
    assert "GALAXY_EDGE_RUN_NOTIFY is invalid" in message and "secret" not in message
