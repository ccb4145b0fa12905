"""Renamed options: the old name keeps working and is not shown in the help."""

import click
import pytest
from galaxy_edge.cli.evaluate import evaluate
from galaxy_edge.cli.export import _settings, export


def option(command, flag):
    (found,) = [parameter for parameter in command.params if flag in parameter.opts]
    assert isinstance(found, click.Option)
    return found


def test_rescue_is_the_old_name_of_fallback():
    """Scripts of earlier versions call `export --rescue auto`."""
    assert option(export, "--rescue").hidden and not option(export, "--fallback").hidden
    assert _settings(True, None, False, fallback="none", rescue="auto").fallback == "auto"
    assert _settings(True, None, False, fallback="auto", rescue=None).fallback == "auto"


@pytest.mark.parametrize("name", ["detector", "pipeline"])
def test_unseen_is_the_old_name_of_held_out(name):
    """Scripts of earlier versions call `eval detector --unseen`."""
    command = evaluate.commands[name]
    assert option(command, "--unseen").hidden and not option(command, "--held-out").hidden
