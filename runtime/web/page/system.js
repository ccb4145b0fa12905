// Settings, charts and figures of the station.
import { byId, make, plain, request, sayError, seconds } from "/api.js";

const SAMPLES = 600;
const WAITING = new Set(["read"]); // mostly waiting for the camera's exposure
const DASHES = [[], [8, 4], [2, 3], [12, 3, 2, 3], [5, 5], [1, 5]];
let samples = [];
let dragging = false; // a slider that is being moved is not set

export function setHistory(past) { samples = past.concat(samples).slice(-SAMPLES); }

export function addSample(status) {
  samples.push({ stages: status.stages, temperature: status.temperature });
  samples = samples.slice(-SAMPLES);
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lineColour = (row) => colour(`--line-${row % 6}`);

function drawLines(canvas, rows, top, unit) {
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  pen.font = "20px system-ui, sans-serif";
  pen.fillStyle = colour("--text");
  pen.fillText(`${Math.round(top)} ${unit}`, 8, 24);
  rows.forEach((values, row) => {
    pen.strokeStyle = lineColour(row);
    pen.setLineDash(DASHES[row % DASHES.length]);
    pen.lineWidth = 2.5;
    pen.beginPath();
    let drawn = false;
    values.forEach((value, index) => {
      if (value === null || value === undefined) return;
      const x = width * (index + SAMPLES - values.length) / SAMPLES;
      const y = height - 6 - (height - 40) * value / top;
      if (drawn) pen.lineTo(x, y); else pen.moveTo(x, y);
      drawn = true;
    });
    pen.stroke();
  });
  pen.setLineDash([]);
}

export function drawCharts() {
  if (byId("system").hidden) return;
  const names = [...new Set(samples.flatMap((sample) => Object.keys(sample.stages)))].filter((name) => !WAITING.has(name));
  const rows = names.map((name) => samples.map((sample) => sample.stages[name]));
  drawLines(byId("stages"), rows, Math.max(1, ...rows.flat().filter(Number.isFinite)), "ms");
  byId("legend").replaceChildren(...names.map((name, row) => {
    const last = rows[row].findLast((value) => value !== undefined);
    return make("li", {}, swatch(row), `${name} ${last === undefined ? "" : last.toFixed(1)}`);
  }));
  const heat = samples.map((sample) => sample.temperature);
  byId("heat-part").hidden = !heat.some((value) => value !== null);
  if (!byId("heat-part").hidden) drawLines(byId("heat"), [heat], 100, "°C");
}

function swatch(row) {
  const canvas = make("canvas", { width: 48, height: 12 });
  const pen = canvas.getContext("2d");
  pen.strokeStyle = lineColour(row);
  pen.lineWidth = 4;
  pen.setLineDash(DASHES[row % DASHES.length]);
  pen.beginPath();
  pen.moveTo(0, 6);
  pen.lineTo(48, 6);
  pen.stroke();
  return canvas;
}

const size = (bytes) => bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;

export function showFacts(status) {
  byId("degrees").textContent = status.temperature === null ? "" : `${status.temperature.toFixed(0)} °C`;
  const losses = ["events", "images", "lines"].filter((name) => status[`${name}_lost`]).map((name) => `${status[`${name}_lost`]} ${name}`);
  const rows = [
    ["Source", status.source], ["Frames", `${status.frames} (${status.frames_per_second.toFixed(1)} per second)`],
    ["Finds", `${status.events}`], ["Running for", seconds(status.uptime_seconds)],
    ["Dropped frames", `${status.dropped}`], ["Unchanged frames", `${status.gated}`], ["Camera reopened", `${status.reopened} times`],
    ["Lost", losses.join(", ") || "nothing"], ["Pictures and logs", size(status.evidence_bytes)],
    ["Free on the disk", status.disk_free_bytes === null ? "unknown" : size(status.disk_free_bytes)],
    ["Memory", size(status.memory_bytes)], ["Version", status.version || "unknown"],
    ...Object.entries(status.bundles).map(([name, hash]) => [plain(name.replace("galaxy-", "")).replace(/^./, (c) => c.toUpperCase()), hash.slice(0, 12)]),
  ];
  byId("facts").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

export function showControls(controls) {
  const score = byId("score");
  if (!dragging) score.value = controls.min_score;
  showScore();
  const own = controls.default_min_score;
  byId("score-default").hidden = byId("score-reset").hidden = own === null;
  if (own !== null) {
    byId("score-default").style.left = `${(own - score.min) / (score.max - score.min) * 100}%`;
    byId("score-reset").textContent = `Default ${own.toFixed(2)}`;
    byId("score-reset").onclick = () => update("score", { min_score: own });
  }
  const stack = byId("stack");
  stack.dataset.off = controls.stack === null ? "yes" : "no";
  stack.disabled = stack.disabled || controls.stack === null;
  if (controls.stack === null) byId("stack-note").textContent = "This run does not stack: its pictures are not of one continuous view.";
  else if (document.activeElement !== stack) stack.value = controls.stack;
}

function showScore() { byId("score-value").textContent = Number(byId("score").value).toFixed(2); }

async function update(field, values) {
  byId(`${field}-error`).textContent = "";
  byId(field).removeAttribute("aria-invalid");
  try { showControls(await request("/api/controls", values)); } catch (error) {
    byId(`${field}-error`).textContent = error.message;
    byId(field).setAttribute("aria-invalid", "true");
  }
}

function changeStack() {
  const value = Number(byId("stack").value);
  if (Number.isInteger(value) && value >= 1 && value <= 64) { update("stack", { stack: value }); return; }
  byId("stack-error").textContent = "Give a whole number from 1 to 64.";
  byId("stack").setAttribute("aria-invalid", "true");
}

function local(id, initial, show) {
  const input = byId(id);
  input.value = initial;
  input.oninput = () => show(Number(input.value));
  show(Number(input.value));
}

function drawCode(rows) {
  const scale = 6;
  const canvas = make("canvas", { width: rows.length * scale, height: rows.length * scale, role: "img" });
  canvas.setAttribute("aria-label", "QR code of the link");
  const pen = canvas.getContext("2d");
  rows.forEach((row, y) => [...row].forEach((module, x) => {
    pen.fillStyle = module === "1" ? "#000" : colour("--paper");
    pen.fillRect(x * scale, y * scale, scale, scale);
  }));
  return canvas;
}

async function pair() {
  try {
    const { link, qr, expires_seconds: valid } = await request("/api/pairing", {});
    byId("pairing").replaceChildren(drawCode(qr), make("p", { className: "dim" }, `Scan it with the other phone: it is logged in once, within ${Math.round(valid / 60)} minutes.`),
      make("p", {}, make("code", {}, link)));
    byId("pairing").hidden = false;
  } catch (error) { sayError(error); }
}

export async function showSessions() {
  try {
    const sessions = await request("/api/sessions");
    byId("pair").hidden = byId("logout").hidden = byId("logout-all").hidden = !sessions.some((session) => session.current);
    byId("sessions").textContent = sessions.length ? `${sessions.length} ${sessions.length === 1 ? "browser is" : "browsers are"} logged in.`
      : "Open to everyone who uses this computer, and to nobody else.";
  } catch { byId("sessions").textContent = ""; }
}

export function start() {
  byId("pair").onclick = pair;
  const score = byId("score");
  byId("settings").onsubmit = (event) => { event.preventDefault(); changeStack(); };
  score.onpointerdown = () => { dragging = true; };
  score.onpointerup = score.onpointercancel = () => { dragging = false; };
  score.oninput = showScore;
  score.onchange = () => { dragging = false; update("score", { min_score: Number(score.value) }); };
  byId("stack").onchange = changeStack;
  local("stretch", localStorage.getItem("stretch") ?? 1, (value) => {
    byId("stretch-value").textContent = value.toFixed(1);
    document.documentElement.style.setProperty("--stretch", value);
    localStorage.setItem("stretch", value);
  });
  local("brightness", theme.brightness, (value) => {
    byId("brightness-value").textContent = `${value} %`;
    theme.setBrightness(value);
  });
  for (const [id, path, method] of [["logout", "/logout", "POST"], ["logout-all", "/api/sessions", "DELETE"]]) {
    byId(id).onclick = async () => {
      try { await fetch(path, { method }); location.href = "/login"; } catch (error) { sayError(error); }
    };
  }
}
