// Cards of finds, with their details.
import { byId, clock, make, plain, request, say, sayError, sentence, shortClock } from "/api.js";
import { inSight, kind } from "/live.js";

const cards = new Map(); // by list and id

export function howSure(event) {
  if (event.sure === false) return "a guess";
  return event.probability >= 0.9 ? "very sure" : event.probability >= 0.7 ? "fairly sure" : "a guess";
}

function where(event) {
  if (inSight.has(event.id)) return "in sight";
  return event.state === "ended" ? "gone" : "not in view";
}

const ANSWERS = { right: "Right", wrong: "Wrong", not_galaxy: "Not a galaxy" };

function makeCard(event) {
  const crop = event.crop ? make("img", { alt: "", loading: "lazy" }) : make("span", { className: "blank" });
  const name = make("strong");
  const mark = make("span", { className: "mark" });
  const line = make("span", { className: "dim" });
  const summary = make("button", { type: "button", className: "summary" },
    make("span", { className: "crop" }, crop), make("span", { className: "words" }, name, line, mark));
  const details = make("div", { className: "details", hidden: true });
  const card = make("li", { className: "card" }, summary, details);
  summary.setAttribute("aria-expanded", false);
  card.dataset.id = event.id;
  const parts = { card, crop, name, line, mark, details, summary, event };
  summary.onclick = () => open(parts, details.hidden);
  return parts;
}

function fill(parts, event) {
  if (event.crop && parts.crop.tagName !== "IMG") {
    const image = make("img", { alt: "" });
    parts.crop.replaceWith(image);
    parts.crop = image;
  }
  const source = event.crop && `/${event.crop}?${event.best_frame}`;
  if (source && parts.source !== source) parts.crop.src = parts.source = source;
  const changed = parts.event.frames !== event.frames || parts.event.review !== event.review;
  parts.event = event;
  parts.name.textContent = title(event);
  parts.line.textContent = `${howSure(event)} · ${shortClock(event.last_time)} · ${where(event)}`;
  parts.mark.textContent = event.review ? `You said: ${ANSWERS[event.review].toLowerCase()}` : "";
  parts.card.classList.toggle("seen", inSight.has(event.id));
  parts.card.dataset.kind = kind(event.kind !== "object" || (event.sure === false && !event.group) ? "other" : event.class);
  if (changed && !parts.details.hidden && !parts.details.querySelector(".which")) showDetails(parts);
}

function open(parts, on) {
  parts.details.hidden = !on;
  parts.card.classList.toggle("open", on);
  parts.summary.setAttribute("aria-expanded", on);
  if (on) showDetails(parts);
}

const two = (value) => String(value).padStart(2, "0");

function inSixties(value, digits) {
  const units = Math.round(Math.abs(value) * 3600 * 10 ** digits) / 10 ** digits;
  return [two(Math.floor(units / 3600)), two(Math.floor(units / 60) % 60), (units % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")];
}

// The keys of `sky`, each of which may be missing: see sky/position.py.
function skyRows(sky) {
  if (!sky) return [];
  const rows = [];
  if (sky.object_name) {
    const about = [sky.object_type, sky.object_kind].filter(Boolean).join(" ");
    rows.push(["Catalogue", about ? `${sky.object_name} (${about})` : sky.object_name]);
  }
  if (sky.object_separation !== undefined) rows.push(["Distance from it", `${sky.object_separation.toFixed(0)}″`]);
  if (sky.object_neighbours?.length) rows.push(["Also in the box", sky.object_neighbours.join(", ")]);
  if (sky.ra !== undefined && sky.dec !== undefined) {
    const [h, m, s] = inSixties(sky.ra / 15, 1);
    const [d, minutes, seconds] = inSixties(sky.dec, 0);
    rows.push(["Sky position", `${h}h ${m}m ${s}s ${sky.dec < 0 ? "−" : "+"}${d}° ${minutes}′ ${seconds}″`]);
  }
  if (sky.position_error !== undefined) rows.push(["Uncertainty", `${sky.position_error.toFixed(1)}″`]);
  if (sky.size_arcsec !== undefined) rows.push(["Size on the sky", sky.size_arcsec > 120 ? `${(sky.size_arcsec / 60).toFixed(1)}′` : `${sky.size_arcsec.toFixed(0)}″`]);
  if (sky.sky_note) rows.push(["Note", sky.sky_note]);
  return rows;
}

// The catalogue's name where there is one, and the shape.
export const title = (event) => event.sky?.object_name ? `${event.sky.object_name}, ${event.label}` : sentence(event.label);

function showDetails(parts) {
  const { event, details } = parts;
  const shares = Object.entries(event.probabilities).sort((a, b) => b[1] - a[1]).filter(([, share], index) => index === 0 || share >= 0.01).slice(0, 4);
  const bars = make("dl", { className: "bars" }, ...shares.flatMap(([name, share]) => {
    const meter = make("i");
    meter.style.width = `${Math.max(1, share * 100)}%`;
    return [make("dt", {}, plain(name)), make("dd", {}, make("span", { className: "meter" }, meter), `${Math.round(share * 100)} %`)];
  }));
  const rows = [
    ["First seen", clock(event.first_time)], ["Last seen", clock(event.last_time)], ["Seen in", `${event.frames} frames`],
    ["Best frame", `${event.best_frame} (${event.source})`], ["Detector's score", event.score.toFixed(2)], ...skyRows(event.sky),
  ];
  const facts = make("dl", { className: "facts" }, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  const verdict = make("div", { className: "verdict", role: "group" });
  verdict.setAttribute("aria-label", "Is this right?");
  for (const [key, text] of Object.entries(ANSWERS)) {
    const button = make("button", { type: "button" }, text);
    button.setAttribute("aria-pressed", event.review === key);
    button.dataset.verdict = key;
    button.onclick = () => answer(parts, key);
    verdict.append(button);
  }
  const links = make("p", { className: "links" });
  if (event.crop) links.append(make("a", { href: `/${event.crop}`, download: `${event.id}.png` }, "Download the crop"));
  details.replaceChildren(bars, facts, make("p", { className: "ask" }, "Is this right? Answers are kept for the next training."), verdict, links);
}

async function answer(parts, key, name) {
  const { event } = parts;
  try {
    if (event.review === key && name === undefined) {
      await request(`/api/events/${event.id}/review`, undefined, "DELETE");
      event.review = null;
      say("Answer withdrawn");
    } else {
      await request(`/api/events/${event.id}/review`, { verdict: key, ...(name ? { class: name } : {}) });
      event.review = key;
      say(`Kept for training: ${ANSWERS[key].toLowerCase()}${name ? `, it is ${plain(name)}` : ""}`);
    }
    fill(parts, event);
    showDetails(parts);
    if (key === "wrong" && event.review === "wrong" && name === undefined) askWhich(parts);
  } catch (error) { sayError(error); }
}

function askWhich(parts) {
  const choices = Object.keys(parts.event.probabilities).filter((name) => name !== parts.event.class);
  const which = make("div", { className: "which", role: "group" }, make("p", {}, "Which is it, if you know?"));
  for (const name of choices) {
    const button = make("button", { type: "button" }, plain(name));
    button.onclick = () => answer(parts, "wrong", name);
    which.append(button);
  }
  parts.details.querySelector(".verdict").after(which);
}

export function showCards(list, events) {
  let known = cards.get(list);
  if (!known) cards.set(list, known = new Map());
  const fresh = new Map();
  for (const event of events) {
    const parts = known.get(event.id) ?? makeCard(event);
    fill(parts, event);
    fresh.set(event.id, parts);
  }
  cards.set(list, fresh);
  const wanted = [...fresh.values()].map((parts) => parts.card);
  const same = wanted.length === list.children.length && wanted.every((card, index) => card === list.children[index]);
  if (!same) list.replaceChildren(...wanted);
}

export function refreshCards() {
  for (const known of cards.values()) for (const parts of known.values()) fill(parts, parts.event);
}

export function openCard(id) {
  const parts = cards.get(byId("finds"))?.get(id);
  if (!parts) { say("This object is not in the list yet."); return; }
  open(parts, true);
  parts.card.scrollIntoView({ block: "center" });
  parts.summary.focus({ preventScroll: true });
}
