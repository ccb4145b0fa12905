"""The annotated video: browsers play it, and what a killed run left of it."""

import shutil

import pytest
from galaxy_edge.runtime.recording.video_writer import VideoWriter
from helpers.page_states import open_browser
from helpers.tracks import frames_of, noisy

PLAY = """async () => {
    const video = document.createElement("video");
    document.body.append(video);
    video.muted = true;
    await new Promise((resolve, reject) => {
        video.onerror = () => reject(new Error(video.error.message));
        video.ontimeupdate = () => video.currentTime > 0.2 && resolve();
        video.src = "/video.webm";
        video.play();
    });
    return [video.videoWidth, video.videoHeight];
}"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A finished video, and a copy of it as it was before its end."""
    folder = tmp_path_factory.mktemp("videos")
    video = VideoWriter(folder / "annotated-0001.webm")
    for number in range(40):
        video.write(noisy(number).pixels)
    killed = shutil.copy(video.path, folder / "killed.webm")
    video.close()
    return {"finished": video.path, "killed": killed}


@pytest.mark.parametrize("name", ["finished", "killed"])
def test_browsers_play_it(videos, name):
    """MPEG-4 Part 2, which OpenCV writes into MP4, plays in no browser."""
    with open_browser() as browser:
        if browser is None:
            pytest.skip("chromium is not installed")
        page = browser.new_page()
        page.route("**/page", lambda route: route.fulfill(body="<body>", content_type="text/html"))
        page.route("**/video.webm", lambda route: route.fulfill(path=videos[name], content_type="video/webm"))
        page.goto("http://galaxy-edge.test/page")
        width, height = page.evaluate(PLAY)
        assert width > 0 and height > 0


def test_a_killed_run_leaves_most_frames(videos):
    """Frames reach the file as they are encoded, in blocks of 256 KiB."""
    assert frames_of(videos["finished"]) == 40
    assert 10 <= frames_of(videos["killed"]) <= 40
