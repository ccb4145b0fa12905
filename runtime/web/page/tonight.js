// Finds of this run and of earlier ones: timeline, gallery, filters.
import { byId, make, request, sayError, shortClock } from "/api.js";
import { showCards } from "/finds.js";

const FILTERS = {
  all: ["All", () => true],
  spiral: ["Spiral", (event) => event.class.startsWith("spiral")],
  edge: ["Edge-on", (event) => event.class.startsWith("edge_on")],
  smooth: ["Smooth", (event) => event.class.startsWith("smooth")],
  disk: ["Disk", (event) => event.class.startsWith("disk")],
  sure: ["Sure of the shape", (event) => event.sure !== false],
  open: ["Not answered", (event) => !event.review],
};
const BARS = 24;
let filter = "all";
let run = null; // null: the latest
let events = [];

function chips(parent, entries, chosen, choose) {
  parent.replaceChildren(...entries.map(([key, text]) => {
    const chip = make("button", { type: "button", className: "chip" }, text);
    chip.setAttribute("aria-pressed", key === chosen);
    chip.onclick = () => choose(key);
    return chip;
  }));
}

function drawTimeline(shown) {
  const times = shown.map((event) => Date.parse(event.first_time));
  const begin = Math.min(...times);
  const end = Math.max(...times, begin + 60000);
  const counts = Array(BARS).fill(0);
  for (const time of times) counts[Math.min(BARS - 1, Math.floor((time - begin) / (end - begin) * BARS))] += 1;
  const top = Math.max(1, ...counts);
  byId("timeline").replaceChildren(...counts.map((count) => {
    const bar = make("i", { title: `${count}` });
    bar.style.height = `${count / top * 100}%`;
    return bar;
  }));
  byId("timeline").setAttribute("aria-label", shown.length ? `${shown.length} finds, at most ${top} in a bar` : "No finds");
  const [first, last] = byId("timeline-ends").children;
  first.textContent = shown.length ? shortClock(begin) : "";
  last.textContent = shown.length ? shortClock(end) : "";
}

function show() {
  const numbers = [...new Set(events.map((event) => event.run))].sort((a, b) => b - a);
  const chosen = run ?? numbers[0];
  chips(byId("runs"), numbers.length > 1 ? numbers.slice(0, 12).map((number, index) => {
    const first = events.find((event) => event.run === number);
    const day = new Date(first.started || first.first_time).toLocaleDateString([], { day: "numeric", month: "short" });
    return [number, index === 0 ? "Latest run" : `Run ${number}, ${day}`];
  }) : [], chosen, (key) => { run = key; show(); });
  chips(byId("filters"), Object.entries(FILTERS).map(([key, [text]]) => [key, text]), filter, (key) => { filter = key; show(); });
  const shown = events.filter((event) => event.run === chosen).filter(FILTERS[filter][1]);
  drawTimeline(shown);
  showCards(byId("gallery"), shown.slice().reverse().slice(0, 120));
  byId("gallery-none").hidden = shown.length > 0;
}

export async function refresh() {
  try {
    events = await request("/api/events?limit=500&all_runs=true");
    show();
  } catch (error) { sayError(error); }
}
