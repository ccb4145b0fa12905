// Starts the parts of the page, and asks the device for news.
import { byId, loadNames, request, say, sayError } from "/api.js";
import { openCard, refreshCards, showCards, title } from "/finds.js";
import * as live from "/live.js";
import { showAnswer, showSilence, showState } from "/state.js";
import * as system from "/system.js";
import { refresh as refreshTonight } from "/tonight.js";

const TABS = ["live", "tonight", "system"];

function showTab(name) {
  for (const tab of TABS) {
    byId(tab).hidden = tab !== name;
    byId(`tab-${tab}`).setAttribute("aria-selected", tab === name);
    byId(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
  }
  if (name === "tonight") refreshTonight();
  if (name === "system") { system.drawCharts(); system.showSessions(); }
}

function showControls(controls) {
  byId("pause").textContent = controls.paused ? "Resume detection" : "Pause detection";
  byId("pause").setAttribute("aria-pressed", controls.paused);
  live.showInputs(controls.show_inputs);
  system.showControls(controls);
}

async function change(update) {
  try { showControls(await request("/api/controls", update)); } catch (error) { sayError(error); }
}

async function poll() {
  try {
    const [status, controls, events] = await Promise.all([
      request("/api/status"), request("/api/controls"), request("/api/events?limit=40"),
    ]);
    byId("station").textContent = status.station || "galaxy-edge";
    byId("caption").textContent = [
      status.source, `${status.frames_per_second.toFixed(1)} frames per second`,
      ...status.known_objects.length ? [`in the field: ${status.known_objects.slice(0, 4).join("; ")}`] : [],
    ].join(" · ");
    showCards(byId("finds"), events.reverse());
    live.titles.clear();
    for (const event of events) if (event.sky?.object_name) live.titles.set(event.id, title(event));
    byId("count").textContent = status.events ? `(${status.events})` : "";
    byId("none").hidden = events.length > 0;
    showAnswer(status);
    showControls(controls);
    system.addSample(status);
    system.showFacts(status);
    system.drawCharts();
  } catch {
    showSilence();
  }
  setTimeout(poll, document.hidden ? 5000 : 1000);
}

for (const tab of TABS) byId(`tab-${tab}`).onclick = () => { history.replaceState(null, "", `#${tab}`); showTab(tab); };
byId("tabs").onkeydown = (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const next = TABS[(TABS.findIndex((tab) => !byId(tab).hidden) + step + TABS.length) % TABS.length];
  byId(`tab-${next}`).click();
  byId(`tab-${next}`).focus();
};
byId("pause").onclick = () => change({ paused: byId("pause").getAttribute("aria-pressed") !== "true" });
byId("inputs").onclick = () => change({ show_inputs: byId("inputs").getAttribute("aria-pressed") !== "true" });
byId("save").onclick = async () => {
  try { say(`Saved: ${(await request("/api/frames", {})).name}`); } catch (error) { sayError(error); }
};
theme.bind(byId("night"));
document.addEventListener("themechange", system.drawCharts);
live.listeners.open = (id) => { byId("tab-live").click(); openCard(id); };
live.listeners.seen = refreshCards;
system.start();
live.start();
showTab(TABS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "live");
loadNames().catch(() => {});
request("/api/history").then(system.setHistory).catch(() => {}).finally(poll);
setInterval(showState, 500);
navigator.serviceWorker?.register("/service-worker.js").catch(() => {});
