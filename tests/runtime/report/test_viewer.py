"""The server of `galaxy-edge view`: page, files of known names, nothing else."""

import http.client
import socket
import threading

import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.report.viewer import Viewer
from helpers.tracks import frame, named, output, record, track


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view") / "out"
    out = output(folder)
    out.frame(frame(0), named(), record(0))
    out.events([track(1, 0, ended=True)])
    out.close(1, 0)
    (folder / "token").write_text("secret")
    (folder / "sheet-0002.jpg").symlink_to(folder / "token")
    viewer = Viewer(folder, 0)
    viewer.folder = folder
    thread = threading.Thread(target=viewer.serve)
    thread.start()
    yield viewer
    viewer.close()
    thread.join(10)


@pytest.fixture(scope="module")
def video(viewer):
    """The viewer, with a video of 100 different bytes."""
    (viewer.folder / "annotated-0009.webm").write_bytes(bytes(range(100)))
    return viewer


def get(viewer, path, **headers):
    return exchange(viewer, path, **headers)[:2]


def exchange(viewer, path, **headers):
    host = viewer.url.split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_the_page_shows_the_night_and_links_to_files(viewer):
    status, page = get(viewer, "/")
    assert status == 200 and b"<dt>objects</dt><dd>1<" in page
    assert b'href="files/sheet-0001.jpg"' in page and b'href="files/frames-0001.jsonl"' in page
    status, sheet = get(viewer, "/files/sheet-0001.jpg")
    assert status == 200 and sheet.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    "path",
    [
        "/files/token",
        "/files/../out/token",
        "/files/%2e%2e/out/token",
        "/token",
        "/files/sheet-0002.jpg",
        "/files/",
        "/x",
    ],
)
def test_nothing_else_is_served(viewer, path):
    """The folder holds the token of the live page, and a link may lead anywhere."""
    status, content = get(viewer, path)
    assert status == 404 and b"secret" not in content


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("0-0", 0, 1), ("10-19", 10, 20), ("90-", 90, 100), ("95-999", 95, 100), ("-7", 93, 100), ("-500", 0, 100)],
)
def test_part_of_a_file_is_sent(video, asked, first, end):
    """Browsers seek in videos by this."""
    status, content, headers = exchange(video, "/files/annotated-0009.webm", Range=f"bytes={asked}")
    assert (status, content) == (206, bytes(range(first, end)))
    assert headers["Content-Range"] == f"bytes {first}-{end - 1}/100" and headers["Content-Type"] == "video/webm"


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=500-600", "bytes=-0"])
def test_range_behind_the_end_is_refused(video, asked):
    status, content, headers = exchange(video, "/files/annotated-0009.webm", Range=asked)
    assert (status, content, headers["Content-Range"]) == (416, b"", "bytes */100")


@pytest.mark.parametrize(
    "asked", [{}, {"Range": "bytes=5-2"}, {"Range": "bytes=0-1,5-6"}, {"Range": "lines=0-1"}, {"Range": "bytes=-"},
              {"Range": "bytes=0-1", "If-Range": '"x"'}, {"Range": "bytes=" + "9" * 5000 + "-"}],
)  # fmt: skip
def test_other_ranges_are_ignored(video, asked):
    status, content, headers = exchange(video, "/files/annotated-0009.webm", **asked)
    assert (status, len(content), headers["Accept-Ranges"]) == (200, 100, "bytes")
    assert "Content-Range" not in headers


def test_a_name_of_another_site_is_refused(viewer):
    """A page in the browser could otherwise read the events by its own name."""
    assert get(viewer, "/", Host="evil.example:8080")[0] == 403


def test_names_of_any_script_and_browsers_that_leave_are_no_errors(tmp_path, capfd):
    folder = tmp_path / "夜"
    out = output(folder)
    out.frame(frame(0), named(), record(0))
    out.close(1, 0)
    viewer = Viewer(folder, 0)
    thread = threading.Thread(target=viewer.serve)
    thread.start()
    try:
        (folder / "annotated-0001.mp4").write_bytes(bytes(30_000_000))
        host, _, port = viewer.url.split("/")[2].partition(":")
        with socket.create_connection((host, int(port))) as leaving:
            leaving.sendall(b"GET /files/annotated-0001.mp4 HTTP/1.0\r\nHost: localhost:1\r\n\r\n")
            leaving.recv(100)
        (folder / "events.sqlite").unlink()
        status, content = get(viewer, "/")
        assert status == 404 and "夜" in content.decode()
    finally:
        viewer.close()
        thread.join(10)
    assert "Traceback" not in capfd.readouterr().err


def test_a_folder_without_runs_is_refused_at_the_start(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        Viewer(tmp_path / "nowhere", 0)
