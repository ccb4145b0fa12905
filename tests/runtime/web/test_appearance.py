"""The live page fits every window and can be read, by day and by night."""

import itertools

import numpy as np
import pytest
from galaxy_edge.models.images.decoder import decode_image

pytest.importorskip("fastapi", reason="needs the serve extra")
pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
from galaxy_edge.runtime import web
from helpers.live_run import running
from helpers.page_states import SIZES, STATES, THEMES, open_browser, open_page, show
from helpers.paths import ROOT

MIN_CONTRAST = 4.5
MIN_TOUCH = 44
"""Minimum height of a button in CSS pixels, for a cold finger."""
PHOTOGRAPHED = {"live", "answered", "full", "tonight", "setting-error", "login-error"}
"""States with everything that a browser draws by itself; a picture takes time."""
FAULTS = """() => {
  const faults = [];
  const levels = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = levels(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [0, 0, 0];
  };
  const seen = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().width > 0;
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} px wide`);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !seen(element)) continue;
    const [low, high] = [light(levels(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < MIN_CONTRAST) faults.push(`'${node.data.trim()}' has a contrast of ${contrast.toFixed(2)}`);
    const box = element.getBoundingClientRect();
    const inside = element.closest(".box") || (box.left >= -1 && box.right <= innerWidth + 1);
    if (!inside) faults.push(`'${node.data.trim()}' reaches from ${box.left} to ${box.right}`);
  }
  for (const button of document.querySelectorAll("button:not(.box)")) {
    if (!seen(button)) continue;
    if (button.getBoundingClientRect().height < MIN_TOUCH) faults.push(`button '${button.textContent}' is too small`);
    if (button.scrollWidth > button.clientWidth + 1) faults.push(`button '${button.textContent}' is cut off`);
  }
  for (const card of document.querySelectorAll(".card")) {
    if (seen(card) && card.scrollWidth > card.clientWidth) faults.push(`the card '${card.textContent}' is cut off`);
  }
  return faults;
}""".replace("MIN_CONTRAST", str(MIN_CONTRAST)).replace("MIN_TOUCH", str(MIN_TOUCH))


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        if browser is None:
            pytest.skip("needs chromium (apt install chromium)")
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with running(tmp_path_factory.mktemp("live")) as live:
        live.until(lambda: any(event["crop"] for event in live.json("/api/events")))
        yield live.address


@pytest.mark.parametrize("state", STATES)
def test_page_fits_and_can_be_read_in_every_state(browser, address, state):
    """In three windows, by day and by night; at night nothing but red is shown."""
    with open_page(browser) as page:
        STATES[state](page, address)
        faults = {}
        for size, theme in itertools.product(SIZES, THEMES):
            show(page, theme, size)
            faults[size, theme] = page.evaluate(FAULTS)
        assert {key: found for key, found in faults.items() if found} == {}
        if state not in PHOTOGRAPHED:
            return
        show(page, "night", "phone")
        night = decode_image(page.screenshot(), "shot.png").pixels.astype(int)
        assert night[..., 1:].max() == 0, "green or blue light is shown"
        assert night[..., 0].max() > 200


@pytest.mark.parametrize("state", ["details", "system", "login"])
def test_page_can_be_used_without_seeing_it(browser, address, state):
    """Roles, names, landmarks and contrast, as axe-core judges them."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python (the dev extra)"
    )
    with open_page(browser) as page:
        STATES[state](page, address)
        results = axe.Axe().run(page)
        assert results.violations_count == 0, results.generate_report()


def test_the_check_itself_can_fail(browser, address):
    """A page with grey text on grey, a wide line and a small button has three faults."""
    with open_page(browser) as page:
        page.goto(f"{address}/offline")
        page.evaluate(
            "document.body.innerHTML = '<p>faint</p><button>x</button><pre>' + 'wide'.repeat(99) + '</pre>';"
            "document.querySelector('p').style.color = '#555'; document.querySelector('button').style.minHeight = '0'"
        )
        found = "\n".join(page.evaluate(FAULTS))
        assert "'faint' has a contrast" in found and "the page is" in found and "'x' is too small" in found


def test_night_begins_without_a_flash_of_light(browser, address):
    """What is painted first is red on black, before the page's script has run."""
    with open_page(browser) as page:
        page.goto(f"{address}/login")
        page.click("#night")
        page.route("**/login.js", lambda route: None)  # never answered: the page stays as it is first painted
        page.reload(wait_until="commit")
        page.wait_for_selector("#login h1")
        first = decode_image(page.screenshot(), "shot.png").pixels.astype(int)
        assert first[..., 1:].max() == 0 and np.median(first) == 0


def test_page_is_light(browser, address):
    """Everything together is under 150 kB, uncompressed."""
    folder = ROOT / "runtime" / "web" / "page"
    assert web.__path__ and sum(path.stat().st_size for path in folder.iterdir()) < 150_000
