"""Command groups whose renamed commands keep working under their old names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import click


class RenamingGroup(click.Group):
    """A group whose commands also have old names, which work but are not shown in the help.

    Attributes:
        old_names: new name by old name.
    """

    old_names: ClassVar[dict[str, str]] = {}

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command of a name or of an old name."""
        return super().get_command(context, self.old_names.get(name, name))

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command to its new name, by which its settings are found."""
        name, command, rest = super().resolve_command(context, arguments)
        return (command.name if command else name), command, rest


def current_name(group: click.Command, name: str) -> str:
    """Return the new name of a command of a group; `name` itself if it was not renamed."""
    return group.old_names.get(name, name) if isinstance(group, RenamingGroup) else name


def named_commands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield name and command of a group, then those of old names."""
    yield from group.commands.items()
    if isinstance(group, RenamingGroup):
        yield from ((old, group.commands[new]) for old, new in group.old_names.items())
