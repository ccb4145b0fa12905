// Requests to the device, and small helpers that all parts of the page use.
export const byId = (id) => document.getElementById(id);
const TIMEOUT = 15000;

export class Refused extends Error {} // the device answered, and did not do it

export async function request(path, body, method) {
  const answer = await fetch(path, {
    method: method ?? (body === undefined ? "GET" : "POST"), signal: AbortSignal.timeout(TIMEOUT),
    ...(body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
  });
  if (answer.status === 401) { location.href = "/login"; return new Promise(() => {}); }
  const content = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Refused(reason(content?.detail, answer.status));
  return content;
}

function reason(detail, status) {
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail) && detail.length) return detail[0].msg;
  return `the device answered with status ${status}`;
}

let hiding = 0;
export function say(text) {
  byId("told").textContent = text;
  clearTimeout(hiding);
  hiding = setTimeout(() => { byId("told").textContent = ""; }, 6000);
}

export function sayError(error) {
  say(error instanceof Refused ? error.message : "The device does not answer.");
}

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function seconds(value) {
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}

export const clock = (time) => new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const shortClock = (time) => new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// Classes in plain words, as the device names them.
const names = new Map();
export async function loadNames() {
  for (const [name, words] of Object.entries(await request("/api/names"))) names.set(name, words);
}
export const plain = (name) => names.get(name) ?? name.replaceAll("_", " ");
