"""Groups that import commands when they are used, or know their old names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import ClassVar

import click


class LazyCommands(MutableMapping[str, click.Command]):
    """The commands of a group, each imported when it is first looked up.

    So `run` starts without importing the others.

    Args:
        modules: module of each command by its name; the command is the module's attribute of the module's own name.
        prepare: called once with the name and the command when it has been imported.
    """

    def __init__(self, modules: Mapping[str, str], prepare: Callable[[str, click.Command], object]) -> None:
        self._modules = dict(modules)
        self._prepare = prepare
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            module = self._modules[name]
            command: click.Command = getattr(importlib.import_module(module), module.rpartition(".")[2])
            self._prepare(name, command)
            self._loaded[name] = command
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._modules.setdefault(name, "")
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._modules[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules


class RenamingGroup(click.Group):
    """A group whose commands also have old names, hidden from the help.

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
    """Return the new name of a command, or `name` if it was not renamed."""
    return group.old_names.get(name, name) if isinstance(group, RenamingGroup) else name


def named_commands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield name and command of a group, then those of old names."""
    yield from group.commands.items()
    if isinstance(group, RenamingGroup):
        yield from ((old, group.commands[new]) for old, new in group.old_names.items())
