"""Tables that grow during a run."""

from galaxy_edge.runtime.events.run_tables import RunTables


def test_a_later_run_appends_without_a_second_heading(tmp_path):
    RunTables(tmp_path).append("depth.csv", [{"run": 1, "name": "M 94, core"}])
    tables = RunTables(tmp_path)
    tables.append("depth.csv", [])
    tables.append("depth.csv", [{"run": 2, "name": "M 51"}])
    assert (tmp_path / "depth.csv").read_text() == 'run,name\n1,"M 94, core"\n2,M 51\n'


def test_a_failure_is_logged_once_and_nothing_is_raised(tmp_path, caplog):
    (tmp_path / "depth.csv").mkdir()
    tables = RunTables(tmp_path)
    for _ in range(2):
        tables.append("depth.csv", [{"run": 1}])
    assert caplog.messages == [f"{tmp_path / 'depth.csv'} cannot be written: Is a directory"]
