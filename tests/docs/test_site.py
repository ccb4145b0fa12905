"""The site of the documents: its navigation, its links and its references.

``make site`` builds it, and fails at a broken link; here are the parts that it is made with.
"""

import importlib.util
import re
import shlex

import click
import pytest
from galaxy_edge.cli.main import cli
from helpers.paths import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
COMMANDS = sorted({
    line[line.index("galaxy-edge ") :]
    for page in (ROOT / "README.md", *PAGES)
    for block in re.findall(r"^ *```(?:sh)?\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.M | re.S)
    for line in block.replace("\\\n", " ").splitlines()
    if re.match(r" *(sudo )?(\S*/)?galaxy-edge [a-z]", line)
})  # fmt: skip


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hooks():
    return load("hooks")


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if not re.search(rf": {page.name}$", text, re.M)] == []


def test_a_link_leads_to_the_same_file_on_the_site_and_in_the_repository(hooks):
    """Pages move on the site.

    The README is its first page; files outside docs are in a folder of their own.
    """
    for path, link, expected in (
        ("README.md", "[a](docs/run.md#settings)", "[a](run.md#settings)"),
        ("README.md", "[a](CONTRIBUTING.md)", "[a](repository/CONTRIBUTING.md)"),
        ("README.md", "[docs/faq.md](docs/faq.md)", "[Questions](faq.md)"),
        ("docs/sky.md", "[run.md](run.md#files)", "[Every night](run.md#files)"),
        ("docs/study.md", "![a](study/roc.png)", "![a](study/roc.png)"),
        ("docs/study.md", "[a](../training/RESULTS.md)", "[a](repository/training/RESULTS.md)"),
        ("docs/training.md", "[a](../training/data/)", "[a](repository/training/data/__init__.py)"),
        ("docs/engines.md", "[a](example_engine)", "[a](example_engine/pyproject.toml)"),
        ("docs/first-night.md", "[a](../README.md#install)", "[a](index.md#install)"),
        ("training/README.md", "[a](../docs/study.md)", "[a](../../study.md)"),
        ("docs/run.md", "[a](https://example.org/b.md) [b](#here)", "[a](https://example.org/b.md) [b](#here)"),
    ):
        assert hooks.rewritten(path, link) == expected


def test_the_reference_has_every_command_and_option():
    text = load("cli_reference").commands()
    context = click.Context(cli, info_name="galaxy-edge")
    for name in cli.list_commands(context):
        assert re.search(rf"^### galaxy-edge {name}$", text, re.M)
    assert (
        "<code>--min-score FLOAT RANGE</code>" in text and "#### galaxy-edge events list" in text and "\b" not in text
    )


def test_the_marks_are_replaced(hooks):
    for page, mark in (("api.md", hooks.API), ("cli.md", hooks.COMMANDS)):
        assert len(mark.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))) == 1
    assert "::: galaxy_edge.runtime.inference.detector.Detector" in hooks.api_reference()


def options(line):
    """Return the options that a command line gives, and those that its command has."""
    words = shlex.split(line, comments=True)[1:]
    command, context = cli, click.Context(cli, info_name="galaxy-edge")
    while isinstance(command, click.Group) and words and (found := command.get_command(context, words[0])):
        command, words = found, words[1:]
        context = click.Context(command, parent=context)
    commands = [command]
    if line.startswith("galaxy-edge service install"):
        commands.append(cli.get_command(context, "run"))  # it takes the options of a run
    known = {name for item in commands for option in item.get_params(context) for name in option.opts}
    known |= {name for item in commands for option in item.get_params(context) for name in option.secondary_opts}
    assert not isinstance(command, click.Group) or command.invoke_without_command, f"{line}: there is no such command"
    return {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}, known


def examples(command, context):
    """Yield the examples in the help of a command and of those below it."""
    for line in (command.help or "").splitlines():
        if found := re.match(r" *(?:Begin with: |sudo )?(galaxy-edge [a-z].*)", line):
            yield found[1]
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from examples(command.get_command(context, name), context)


def test_commands_and_options_exist():
    """Also of commands that need a camera, and of examples in the help."""
    shown = [*examples(cli, click.Context(cli))]
    assert len(COMMANDS) > 80 and len(shown) > 20
    unknown = {line: given - known for line in [*COMMANDS, *shown] for given, known in [options(line)]}
    assert {line: names for line, names in unknown.items() if names} == {}
