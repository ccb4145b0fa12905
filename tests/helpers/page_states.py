"""All states of the live page, for tests and for pictures of them.

``python tests/helpers/page_states.py FOLDER`` writes a picture of each state in each size, by day and by night.
"""

import contextlib
import itertools
import json
import shutil
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright import sync_api

SIZES = {"phone": (390, 844), "sideways": (844, 390), "desk": (1440, 900)}
THEMES = ("day", "night")
SKY = {
    "ra": 202.4696, "dec": 47.1952, "position_error": 1.4, "size_arcsec": 512.0, "object_name": "M 51", "object_kind": "galaxy",
    "object_type": "SABb", "object_separation": 7.0, "object_neighbours": ["NGC 5195"],
}  # fmt: skip


@contextlib.contextmanager
def open_browser():
    """Yield Chromium; None where it is not installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        yield None
        return
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def open_page(browser):
    """Yield a new page; requests that are open at its end are ignored."""
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    yield page
    page.unroute_all(behavior="ignoreErrors")
    page.close()


def show(page, theme, size):
    """Set a palette and a window size without loading the page again."""
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate(f"theme.setNight({'true' if theme == 'night' else 'false'})")
    page.evaluate("document.dispatchEvent(new Event('themechange'))")


def change_answer(page, path, change):
    """Change the JSON that the device answers to requests for a path."""

    def handle(route):
        answer = route.fetch()
        route.fulfill(response=answer, json=change(json.loads(answer.text())))

    page.route(lambda url: url.split("?")[0].endswith(path), handle)


def change_status(page, **values):
    """Change the state of the run as the page sees it."""
    change_answer(page, "/api/status", lambda status: {**status, **values})


def _live(page, address, tab="live"):
    page.goto(f"{address}/#{tab}")
    page.wait_for_selector("#finds img", state="attached")
    page.wait_for_selector(".box", state="attached")


def _details(page, address):
    change_answer(page, "/api/events", lambda events: [{**event, "sky": SKY} for event in events])
    _live(page, address)
    page.locator("#finds .summary").first.click()


def _answered(page, address):
    _details(page, address)
    page.locator("#finds [data-verdict=wrong]").first.click()
    page.wait_for_selector(".which button")


def _full(page, address):
    _live(page, address)
    page.evaluate("document.documentElement.requestFullscreen = undefined")
    page.click("#full")


def _tonight(page, address):
    _live(page, address, "tonight")
    page.wait_for_selector("#gallery .card")


def _system(page, address):
    _live(page, address, "system")
    page.wait_for_selector("#legend li")


def _setting_error(page, address):
    change_answer(page, "/api/controls", lambda controls: {**controls, "stack": 4})
    _system(page, address)
    page.fill("#stack", "99")
    page.locator("#stack").press("Enter")
    page.wait_for_selector("#stack-error:not(:empty)")


def _with_status(**values):
    def prepare(page, address):
        change_status(page, **values)
        _live(page, address)

    return prepare


def _paused(page, address):
    change_answer(page, "/api/controls", lambda controls: {**controls, "paused": True})
    _with_status(state="paused")(page, address)


def _waiting(page, address):
    change_status(page, state="starting", last_frame_age_seconds=None, events=0)
    change_answer(page, "/api/events", lambda events: [])
    change_answer(page, "/api/view", lambda view: {**view, "image": 0, "objects": []})
    page.goto(address)
    page.wait_for_selector("#none")


def _silent(page, address):
    _live(page, address)
    page.route("**/*", lambda route: route.abort())
    page.wait_for_selector("#state.silent", timeout=20000)


def _login(page, address):
    page.goto(f"{address}/login")


def _login_error(page, address):
    page.route(
        "**/login", lambda route: route.continue_() if route.request.method == "GET" else route.fulfill(status=401)
    )
    page.goto(f"{address}/login")
    page.fill("#token", "not-the-token-of-this-run")
    page.click("#show")
    page.click("button.main")
    page.wait_for_selector("#told:not(:empty)")


def _offline(page, address):
    page.goto(f"{address}/offline")


STATES = {
    "live": _live,
    "details": _details,
    "answered": _answered,
    "full": _full,
    "paused": _paused,
    "camera-lost": _with_status(state="stalled", last_frame_age_seconds=21.0),
    "disk-full": _with_status(evidence_stopped="the disk is full"),
    "ended": _with_status(state="ended", last_frame_age_seconds=75.0),
    "waiting": _waiting,
    "silent": _silent,
    "tonight": _tonight,
    "system": _system,
    "setting-error": _setting_error,
    "login": _login,
    "login-error": _login_error,
    "offline": _offline,
}
"""Functions that bring a page into each state: page, address."""


def main(folder):
    """Write ``STATE-SIZE-THEME.png`` for every state, size and theme."""
    from helpers.live_run import running

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as out, running(Path(out)) as live, open_browser() as browser:
        if browser is None:
            raise SystemExit("needs chromium (apt install chromium)")
        live.until(lambda: any(event["crop"] for event in live.json("/api/events")))
        for name, prepare in STATES.items():
            with open_page(browser) as page:
                prepare(page, live.address)
                for size, theme in itertools.product(SIZES, THEMES):
                    show(page, theme, size)
                    page.wait_for_timeout(150)
                    page.screenshot(path=folder / f"{name}-{size}-{theme}.png")
            print(name, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tests/helpers/page_states.py FOLDER")
    main(Path(sys.argv[1]))
