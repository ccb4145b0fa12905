"""Messages do not repeat the password of an address in a wrong position."""

import pytest
from galaxy_edge.cli.main import main


@pytest.mark.parametrize("arguments", [
    ["events", "list", "--in", "rtsp://me:secret@camera/live"],
    ["--config", "rtsp://me:secret@camera/live", "run", "--camera", "demo"],
    ["run", "--camera", "demo"],
])  # fmt: skip
def test_address_in_a_wrong_position_is_masked(arguments, capsys, monkeypatch, tmp_path):
    """A path has lost a slash of ``rtsp://``; in a settings file it names a table."""
    (tmp_path / "galaxy-edge.toml").write_text('["rtsp://me:secret@camera/live"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["galaxy-edge", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert end.value.code == 2 and "secret" not in printed.err + printed.out and "***@camera" in printed.err


@pytest.mark.parametrize("out", ["rtsp://me:secret@camera/live", "ftp:/me:secret@camera", "me:secret@camera:/nights"])
def test_output_folder_is_no_address(out, capsys, monkeypatch, tmp_path):
    """Otherwise a folder gets the password as its name, and the summary prints it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["galaxy-edge", "run", "--camera", "demo", "--out", out])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert end.value.code == 2 and "secret" not in printed.err + printed.out and not list(tmp_path.iterdir())
    assert "is an address; give a path of this machine" in " ".join(printed.err.split())
