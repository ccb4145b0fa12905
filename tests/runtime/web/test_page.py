"""The live page in a real browser: what a person at the telescope sees and does."""

import re
import shutil
import time

import numpy as np
import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.images.decoder import decode_image

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.models.naming import GROUP_LABELS, PLAIN_NAMES
from galaxy_edge.runtime.events.reviews import read_reviews
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
    """A run of its own: these tests pause it and change its threshold."""
    with running(tmp_path_factory.mktemp("live")) as run:
        yield run


@pytest.fixture
def page(browser, live):
    """Return the page on a phone; foreign requests and console errors fail the test."""
    context = browser.new_context(**PHONE, service_workers="block")  # a page with one is not reached by page.route
    page = context.new_page()
    urls, errors = [], []
    page.on("request", lambda request: urls.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(live.address)
    page.errors = errors
    yield page
    assert all(url.startswith(live.address) for url in urls), urls
    assert errors == []
    context.close()


def wait(page, condition, seconds=60):
    """Wait for a condition, evaluated by the driver.

    The page's security policy allows no eval.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"timed out: {condition}"
        page.wait_for_timeout(50)


def screenshot(page, selector):
    """The pixels of an element as (H, W, 3)."""
    return decode_image(page.locator(selector).screenshot(), "shot.png").pixels.astype(int)


def test_live_image_is_shown_and_changes(page):
    """The stream plays: a still image would hide that the run has stalled."""
    wait(page, "document.getElementById('view').naturalWidth == 640")
    first = screenshot(page, "#view")
    assert first.std() > 5, "the image is not blank"
    for _ in range(50):
        page.wait_for_timeout(100)
        if np.abs(screenshot(page, "#view") - first).mean() > 0.5:
            break
    else:
        pytest.fail("the image did not change")


def test_find_is_shown_as_a_card_and_its_answer_is_kept(page, live):
    """A tap on a box opens the card of its object."""
    page.wait_for_selector("#finds .card img")
    wait(page, "[...document.querySelectorAll('#finds img')].some(image => image.naturalWidth > 4)")
    assert not page.locator("#none").is_visible()
    assert re.search(r"galaxy.*\n.*(sure|a guess) · .*(in sight|gone|not in view)", page.locator("#finds").inner_text())
    wait(page, "document.querySelector('.box') !== null")
    # The objects drift: the box is gone a moment later.
    wait(
        page,
        "(() => { document.querySelector('.box')?.click(); return document.querySelector('.card.open') !== null })()",
    )
    card = page.locator(".card.open").first
    assert "Detector's score" in card.inner_text() and card.locator(".bars dt").count() >= 1
    page.evaluate("document.querySelector('.card.open [data-verdict=not_galaxy]').click()")
    live.until(lambda: read_reviews(live.output.folder))
    (review,) = read_reviews(live.output.folder)
    assert review.verdict == "not_galaxy"
    assert live.json(f"/api/events/{review.event}")["review"] == "not_galaxy"


def test_boxes_are_those_of_the_list_and_can_be_switched_off(page, live):
    """Their names are not a second opinion."""
    wait(page, "document.querySelector('.box') !== null")
    view = live.json("/api/view")
    listed = {event["id"]: event["label"] for event in live.json("/api/events?limit=500")}
    names = {*PLAIN_NAMES.values(), *GROUP_LABELS.values()}
    assert all(listed.get(shown["id"], shown["label"]) in names for shown in view["objects"])
    page.tap("#show-boxes")
    assert page.evaluate("document.getElementById('boxes').hidden")
    page.tap("#show-boxes")


def test_silent_device_is_reported_and_its_controls_are_off(page):
    """A picture that is not current must not look as if it were."""
    wait(page, "document.getElementById('view').naturalWidth == 640")
    page.wait_for_selector("#state.running")
    page.route("**/api/**", lambda route: route.abort())
    page.wait_for_selector("#state.silent")
    assert "No answer" in page.locator("#state").inner_text() and "old" in page.locator("#stale").inner_text()
    assert page.locator("#save").is_disabled() and page.locator("#frame.old").count() == 1
    page.unroute_all()
    page.wait_for_selector("#state.running")
    wait(page, "!document.getElementById('save').disabled")
    page.errors.clear()  # of the requests that were aborted


def test_timings_are_plotted(page):
    """The legend names the stages; waiting for the camera is not one of them."""
    page.tap("#tab-system")
    wait(page, "document.querySelectorAll('#legend li').length >= 4")
    assert "detect" in page.locator("#legend").inner_text() and "read" not in page.locator("#legend").inner_text()
    page.wait_for_timeout(1500)
    drawn = page.evaluate(
        "(() => { const c = document.getElementById('stages');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter(Boolean).length; })()"
    )
    assert drawn > 500


def test_night_mode_shows_red_only_and_is_remembered(page):
    """Green or blue light spoils the observer's dark adaptation, after a reload too."""
    wait(page, "document.getElementById('view').naturalWidth == 640")
    assert screenshot(page, "#live")[..., 1:].max() > 100
    page.click("#night")
    for _ in range(2):
        wait(page, "document.getElementById('view').naturalWidth == 640")
        night = decode_image(page.screenshot(), "shot.png").pixels.astype(int)
        assert night[..., 1:].max() == 0, "green or blue light is shown"
        assert night[..., 0].max() > 60
        page.reload()
    page.click("#night")


def test_pause_button_stops_detection_and_resumes_it(page, live):
    """The same button pauses and resumes; its label names what it will do."""
    page.wait_for_selector("#state.running")
    page.tap("#pause")
    page.wait_for_selector("#state.paused")
    page.wait_for_timeout(1000)
    found = live.monitor.run_stats.detections
    page.wait_for_timeout(500)
    assert live.monitor.run_stats.detections == found
    assert page.locator("#pause").inner_text() == "Resume detection"
    page.tap("#pause")
    page.wait_for_selector("#state.running")
    live.until(lambda: live.monitor.run_stats.detections > found)


def test_switch_shows_what_the_network_sees(page, live):
    """A square of the detector's input, with the same boxes.

    The button says whether it is on.
    """
    wait(page, "document.getElementById('view').naturalWidth == 640")
    page.tap("#inputs")
    wait(page, "document.getElementById('inputs').getAttribute('aria-pressed') == 'true'")
    live.until(lambda: live.controls.show_inputs)
    width, height = Bundle.load(shipped_bundle_path("galaxy-detector"), "detect").input_size
    view = "document.getElementById('view')"
    wait(page, f"{view}.naturalWidth == {width} && {view}.naturalHeight == {height}")
    assert "network" in page.locator("#view").get_attribute("alt")
    page.tap("#inputs")
    wait(page, "document.getElementById('view').naturalWidth == 640")


def test_threshold_and_save_button(page, live):
    """The slider changes the run's threshold.

    The button saves a frame and shows its name.
    """
    page.wait_for_selector("#state.running")
    page.tap("#tab-system")
    wait(page, "!document.getElementById('score').disabled")
    page.locator("#score").focus()
    before = live.controls.min_score
    page.keyboard.press("ArrowRight")
    live.until(lambda: live.controls.min_score > before)
    page.tap("#save")
    wait(page, "document.getElementById('told').textContent.startsWith('Saved: saved/')")
    live.until(lambda: list(live.output.folder.glob("saved/*.png")))
    live.controls.min_score = before
    assert page.locator("#stack").is_disabled() and "does not stack" in page.locator("#stack-note").inner_text()


def test_login_page_refuses_a_wrong_token_and_accepts_the_right_one(browser, tmp_path):
    """A page without a token leads to the login page, which says what is wrong."""
    with running(tmp_path, token_file=tmp_path / "token") as live:
        context = browser.new_context(**PHONE)
        page = context.new_page()
        answers = []
        page.on("response", lambda answer: answers.append((answer.url.removeprefix(live.address), answer.status)))
        page.goto(live.address)
        assert page.url.endswith("/login")
        page.fill("#token", "not the token")
        page.click("button.main")
        wait(page, "document.getElementById('told').textContent.includes('not the token')")
        assert ("/login", 401) in answers
        page.evaluate("document.getElementById('told').textContent = ''; location.hash = 'a-used-link'")
        wait(page, "document.getElementById('told').textContent.includes('has been used')")
        assert page.url == f"{live.address}/login", "the code does not stay in the address"
        assert page.request.get(f"{live.address}/api/status", headers={"Authorization": "Bearer wrong"}).status == 401
        page.fill("#token", (tmp_path / "token").read_text().strip())
        page.click("button.main")
        page.wait_for_selector("#state.running")
        wait(page, "document.getElementById('view').naturalWidth == 640")
        context.close()
