"""The command that shows which parts of an image a classifier uses."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import UserError, require_extra
from .options import FOLDER, PATH, SEED_NUMBER


class EmptySource(UserError):
    """The source contains no readable image."""

    exit_code = 1


@click.command()
@click.argument("model", type=PATH)
@click.argument("images", metavar="IMAGES")
@click.option("--out", type=FOLDER, required=True, help="Folder for the sheets.")
@click.option("--seed", type=SEED_NUMBER, default=1, show_default=True, help="Seed of the filter patterns.")
def explain(model: Path, images: str, out: Path, seed: int) -> None:
    """Show which parts of IMAGES (a file, folder or zip) a classifier uses.

    MODEL is a run folder or a .keras file. Writes heat.png (Grad-CAM), activations.png and filters.png.
    """
    require_extra("tensorflow", "train")
    import numpy as np

    from ..models.preprocess import resize
    from ..runtime.sources.open_source import open_source
    from ..training.figures.explain import classes_of, explain_model, load_model

    network = load_model(model)
    size = network.input_shape[1]
    inputs, names = [], []
    for frame in open_source(images):
        inputs.append(resize(frame.pixels, size, size))
        names.append(Path(frame.source).name)
    if not inputs:
        raise EmptySource(f"{images} contains no readable image")
    out.mkdir(parents=True, exist_ok=True)
    classes, temperature = classes_of(model, network)
    for path in explain_model(network, np.stack(inputs), names, classes, out, seed, temperature=temperature):
        click.echo(str(path))
