"""The page, driven by a real browser: what a person at the telescope sees and does."""

import shutil
import time

import numpy as np
import pytest
from galaxy_edge.models.images.decoder import decode_image

pytest.importorskip("fastapi", reason="needs the serve extra")
from helpers.live_run import running

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium (apt install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with running(tmp_path_factory.mktemp("live")) as one:
        yield one


@pytest.fixture
def page(browser, live):
    """The page on a phone; whatever it asks for elsewhere, and whatever its console complains of, is a failure."""
    context = browser.new_context(**PHONE)
    page = context.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda problem: complaints.append(str(problem)))
    page.goto(live.address)
    yield page
    assert all(url.startswith(live.address) for url in asked), asked
    assert complaints == []
    context.close()


def wait(page, condition, seconds=60):
    """Wait for a condition; asked from outside, since the page's own policy allows no eval."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"it did not come: {condition}"
        page.wait_for_timeout(50)


def shot(page, selector):
    """The pixels of an element as (H, W, 3)."""
    return decode_image(page.locator(selector).screenshot(), "shot.png").pixels.astype(int)


def test_a_live_frame_is_shown_and_moves(page):
    wait(page, "document.getElementById('view').naturalWidth == 640")
    first = shot(page, "#view")
    assert first.std() > 5, "there is a picture"
    for _ in range(50):
        page.wait_for_timeout(100)
        if np.abs(shot(page, "#view") - first).mean() > 0.5:
            break
    else:
        pytest.fail("the picture stood still")


def test_an_event_appears_with_its_crop(page, live):
    page.wait_for_selector("#events li img")
    wait(page, "[...document.querySelectorAll('#events img')].some(one => one.naturalWidth > 4)")
    number = page.locator("#events li").count()
    assert number >= 1 and not page.locator("#none").is_visible()
    assert "score" in page.locator("#events li").first.inner_text()


def test_timings_are_plotted(page):
    wait(page, "document.querySelectorAll('#legend li').length >= 4")
    assert "detect" in page.locator("#legend").inner_text()
    page.wait_for_timeout(2500)
    drawn = page.evaluate(
        "(() => { const c = document.getElementById('stages');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter(Boolean).length; })()"
    )
    assert drawn > 500


def test_night_mode_leaves_red_only_and_is_remembered(page):
    wait(page, "document.getElementById('view').naturalWidth == 640")
    assert shot(page, "#live")[..., 1:].max() > 100
    page.click("#night")
    for _ in range(2):
        wait(page, "document.getElementById('view').naturalWidth == 640")
        night = decode_image(page.screenshot(), "shot.png").pixels.astype(int)
        assert night[..., 1:].max() == 0, "green or blue light spoils eyes that are used to the dark"
        assert night[..., 0].max() > 60
        page.reload()
    page.click("#night")


def test_pause_stops_the_search_and_a_second_touch_goes_on(page, live):
    page.wait_for_selector("#state.running")
    page.tap("#pause")
    page.wait_for_selector("#state.paused")
    page.wait_for_timeout(1000)
    found = live.pulse.summary.detections
    page.wait_for_timeout(500)
    assert live.pulse.summary.detections == found
    assert page.locator("#pause").inner_text() == "Go on"
    page.tap("#pause")
    page.wait_for_selector("#state.running")
    live.until(lambda: live.pulse.summary.detections > found)


def test_the_threshold_and_a_saved_frame(page, live):
    page.wait_for_selector("#state.running")
    page.locator("#score").focus()
    before = live.controls.min_score
    page.keyboard.press("ArrowRight")
    live.until(lambda: live.controls.min_score > before)
    page.tap("#save")
    wait(page, "document.getElementById('told').textContent.startsWith('kept: saved/')")
    live.until(lambda: list(live.output.folder.glob("saved/*.png")))
    live.controls.min_score = before
    assert not page.locator("#stack-label").is_visible()  # this run does not stack


def test_it_fits_a_phone(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for button in page.locator("button").all():
        assert button.bounding_box()["height"] >= 44, "large enough for a cold finger"


def test_a_wrong_token_gets_401_and_the_right_one_the_page(browser, tmp_path):
    with running(tmp_path, token_file=tmp_path / "token") as one:
        context = browser.new_context(**PHONE)
        page = context.new_page()
        answers = []
        page.on("response", lambda answer: answers.append((answer.url.removeprefix(one.address), answer.status)))
        page.goto(one.address)
        assert page.url.endswith("/login")
        page.fill("#token", "not the token")
        page.click("button")
        wait(page, "document.getElementById('told').textContent.includes('not the token')")
        assert ("/login", 401) in answers
        assert page.request.get(f"{one.address}/api/status", headers={"Authorization": "Bearer wrong"}).status == 401
        page.fill("#token", (tmp_path / "token").read_text().strip())
        page.click("button")
        page.wait_for_selector("#state.running")
        wait(page, "document.getElementById('view').naturalWidth == 640")
        context.close()
