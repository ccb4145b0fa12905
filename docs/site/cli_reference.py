"""Write the reference of the command line, from the commands themselves."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterator

import click
from galaxy_edge.cli.main import cli


def commands() -> str:
    """Return one section for each command, with its options and their help."""
    return "\n\n".join(_sections(cli, click.Context(cli, info_name="galaxy-edge"), 2))


def _sections(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    """Yield the section of a command, then those of its commands, by name."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    heading, help_text = f"{'#' * level} {context.command_path}", _text(command.help or "")
    yield "\n\n".join([heading, f"```\n{usage}\n```", help_text, _options(command, context)])
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None and not inner.hidden:
            yield from _sections(inner, click.Context(inner, info_name=name, parent=context), min(level + 1, 4))


def _options(command: click.Command, context: click.Context) -> str:
    """Return the table of a command's options; "" if it has none."""
    options = (parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option))
    records = filter(None, (option.get_help_record(context) for option in options))
    rows = [
        f"| <code>{_cell(html.escape(name))}</code> | {_cell(_escaped(text))} |"
        for name, text in records
        if "--help" not in name
    ]
    return "\n".join(["| option | meaning |", "| --- | --- |", *rows]) if rows else ""


def _text(text: str) -> str:
    """Return a help text as Markdown; text that click must not wrap is kept."""
    blocks = inspect.cleandoc(text).split("\f")[0].split("\n\n")
    kept = (block.removeprefix("\b\n") if block.startswith("\b") else "" for block in blocks)
    return "\n\n".join(f"```\n{raw}\n```" if raw else _escaped(block) for raw, block in zip(kept, blocks, strict=True))


def _escaped(text: str) -> str:
    """Escape what Markdown would read as markup."""
    for sign in "\\<*_[`":
        text = text.replace(sign, f"\\{sign}")
    return text


def _cell(text: str) -> str:
    """Return a text as the content of a table's cell, in one line."""
    return " ".join(text.split()).replace("|", "&#124;")
