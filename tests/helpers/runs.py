"""`galaxy-edge run` as a process, and queries of the event file it leaves."""

import sqlite3

from helpers.command_line import galaxy_edge


def run(camera, models, out, *more, **how):
    """Run over a source with given models, into an output folder."""
    return galaxy_edge("run", "--camera", camera, "--models", models, "--out", out, *more, **how)


def rows(out, query):
    """Return the rows of a query of the event file in an output folder."""
    with sqlite3.connect(out / "events.sqlite") as base:
        return base.execute(query).fetchall()
