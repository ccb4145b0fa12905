"""What `galaxy-edge run` is told of its service: what is kept, and who is told of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields

import click

from .cli_options import SIZE, need


@dataclass(frozen=True)
class Service:
    """The options of `service_options`.

    Attributes:
        quota: most bytes of evidence, 0 for no limit.
        keep_free: bytes of the disk to leave free.
        fits: whether crops are written as FITS too.
    """

    quota: int
    keep_free: int
    fits: bool


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the service's options to a command, which gets them as one argument `service`."""

    @functools.wraps(command)
    def gathered(**given: object) -> None:
        service = Service(**{field.name: given.pop(field.name) for field in fields(Service)})  # type: ignore[arg-type]
        if service.fits:
            need("astropy", "fits")
        command(**given, service=service)

    for option in (
        click.option("--fits", is_flag=True, help="Write crops as FITS too."),
        click.option("--keep-free", type=SIZE, default="256M", show_default=True,
                     help="Bytes of the disk to leave free."),
        click.option("--quota", type=SIZE, default="2G", show_default=True,
                     help="Most bytes of crops, pictures and logs in OUT; the oldest go first. 0: no limit."),
    ):  # fmt: skip
        gathered = option(gathered)
    return gathered
