"""What `galaxy-edge events list` and `show` print."""

from galaxy_edge.runtime.events.queries import Query, query_events
from helpers.command_line import galaxy_edge_in_process
from helpers.tracks import frame, named, output, record, track


def test_a_list_names_files_and_what_is_not_there(tmp_path):
    """A user looks for the image of a galaxy, and mistypes a class."""
    out = output(tmp_path)
    out.frame(frame(0), named(), record(0))
    out.events([track(1, 0, ended=True), track(2, 0, ended=True)])
    out.close(1, 0)
    table = galaxy_edge_in_process("events", "list", "--in", tmp_path).stdout
    assert "file" in table.splitlines()[0] and "\u2500" not in table
    latest = query_events(tmp_path, Query())[-1]
    assert latest.source in table
    shown = galaxy_edge_in_process("events", "show", "--in", tmp_path, str(latest.number)).stdout
    assert f"id: {latest.id}" in shown
    none = galaxy_edge_in_process("events", "list", "--in", tmp_path, "--class", "spirall").stdout
    assert f"begins with 'spirall'; there are: {latest.name} (" in none
