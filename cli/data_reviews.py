"""`galaxy-edge data from-reviews`: labelled images from answers on the live page."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click

from .options import FOLDER, PATH

logger = logging.getLogger(__name__)


@click.command("from-reviews")
@click.argument("folder", metavar="RUN", type=FOLDER)
@click.argument("out", type=PATH)
@click.option("--to", "kind", type=click.Choice(["voc", "yolo", "coco", "tfrecord", "csv"]), default="voc",
              show_default=True, help="Format of OUT.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def from_reviews(folder: Path, out: Path, kind: str, as_json: bool) -> None:
    """Write the finds of RUN that someone answered about as labelled images.

    RUN is the output folder of a run; the answers are those given on the live page: right, wrong, or not a galaxy. The
    images are the crops. What is not a galaxy becomes an image without a box.
    """
    from ..training.formats.registry import write_labels
    from ..training.formats.reviewed_events import read_reviewed_events
    from ..training.formats.writing import ensure_free
    from .terminal.progress_bar import ProgressBar

    ensure_free(out, folder)
    labels = read_reviewed_events(folder)
    with ProgressBar("writing") as progress:
        write_labels(labels, out, kind, "copy", progress)
    for note in labels.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        click.echo(json.dumps({"pictures": len(labels.images), "classes": dict(labels.counts), "out": str(out)}))
        return
    classes = ", ".join(f"{name} {count}" for name, count in labels.counts.items()) or "none"
    empty = sum(not image.classes for image in labels.images)
    click.echo(f"images: {len(labels.images)} ({empty} not a galaxy); classes: {classes}; written to {out} ({kind})")
