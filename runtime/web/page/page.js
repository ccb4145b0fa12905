"use strict";
const byId = (id) => document.getElementById(id);
const COLOURS = ["#6cb2ff", "#ffb45a", "#96ff96", "#ff82c8", "#d0a8ff", "#ffe27a", "#7ae0d6", "#ff8a7a", "#b8c4d6"];
const SAMPLES = 600;
let samples = [];
let shownEvents = "";
let dragging = false; // the slider is not updated while the user drags it

async function request(path, body) {
  const answer = await fetch(path, body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (answer.status === 401) location.href = "/login";
  const content = await answer.json();
  if (!answer.ok) throw new Error(typeof content.detail === "string" ? content.detail : `the server answered with status ${answer.status}`);
  return content;
}

function showMessage(text) { byId("told").textContent = text; }

async function updateControls(update) {
  try { showControls(await request("/api/controls", update)); } catch (error) { showMessage(error.message); }
}

function showControls(controls) {
  byId("pause").textContent = controls.paused ? "Resume" : "Pause";
  byId("pause").setAttribute("aria-pressed", controls.paused);
  byId("inputs").setAttribute("aria-pressed", controls.show_inputs);
  byId("view").alt = controls.show_inputs ? "The frame and its tiles as the network is given them, with boxes around detected galaxies"
    : "The latest frame, with boxes around detected galaxies";
  if (!dragging) byId("score").value = controls.min_score;
  byId("score-value").textContent = Number(byId("score").value).toFixed(2);
  byId("stack-label").hidden = controls.stack === null;
  if (controls.stack !== null && document.activeElement !== byId("stack")) byId("stack").value = controls.stack;
}

function showStatus(status) {
  byId("state").textContent = status.state;
  byId("state").className = status.state;
  const more = ["dropped", "gated", "reopened", "hung"].filter((name) => status[name]).map((name) => `${status[name]} ${name}`);
  const lost = ["events", "images", "lines"].filter((name) => status[`${name}_lost`]).map((name) => `${status[`${name}_lost`]} ${name} lost`);
  byId("figures").textContent = [
    status.source, `${status.frames} frames`, `${status.frames_per_second.toFixed(1)} frames/s`, `${status.events} objects`, ...more, ...lost,
    `${Math.round(status.memory_bytes / 1e6)} MB`,
  ].join(" · ");
  byId("warning").hidden = !status.evidence_stopped;
  byId("warning").textContent = status.evidence_stopped ? `Crops are not being written: ${status.evidence_stopped}` : "";
  byId("degrees").textContent = status.temperature === null ? "(unknown)" : `${status.temperature.toFixed(1)} °C`;
}

const GROUPS = {
  disk_no_spiral: "disk galaxy", smooth: "smooth galaxy", edge_on: "edge-on galaxy", spiral: "spiral galaxy",
};

function shownName(event) {
  if (event.sure !== false) return event.class.replaceAll("_", " ");
  return event.group ? GROUPS[event.group] : "galaxy, class uncertain";
}

function showEvents(list) {
  const key = JSON.stringify(list.map((event) => [event.id, event.last_time, event.crop, event.state]));
  if (key === shownEvents) return;
  shownEvents = key;
  byId("none").hidden = list.length > 0;
  byId("events").replaceChildren(...list.reverse().map((event) => {
    const row = document.createElement("li");
    row.dataset.id = event.id;
    const image = document.createElement(event.crop ? "img" : "span");
    if (event.crop) {
      image.src = `/${event.crop}?${event.best_frame}`;
      image.alt = "";
      image.loading = "lazy";
    } else image.className = "blank";
    const text = document.createElement("div");
    const name = document.createElement("p");
    name.textContent = shownName(event);
    const rest = document.createElement("p");
    rest.className = "dim";
    const time = new Date(event.first_time).toLocaleTimeString();
    rest.textContent = `${event.class.replaceAll("_", " ")} ${Math.round(event.probability * 100)} % · score ${event.score.toFixed(2)} · ${time} · ${event.frames} frames · ${event.source}`;
    text.append(name, rest);
    row.append(image, text);
    return row;
  }));
}

function drawLines(canvas, rows, top) {
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = "#9aa4b5";
  pen.fillText(top.toPrecision(3), 4, 14);
  rows.forEach((values, row) => {
    pen.strokeStyle = COLOURS[row % COLOURS.length];
    pen.lineWidth = 1.5;
    pen.beginPath();
    let drawn = false;
    values.forEach((value, index) => {
      if (value === null || value === undefined) return;
      const x = width * (index + SAMPLES - values.length) / SAMPLES;
      const y = height - 4 - (height - 22) * value / top;
      if (drawn) pen.lineTo(x, y); else pen.moveTo(x, y);
      drawn = true;
    });
    pen.stroke();
  });
}

function drawCharts() {
  const names = [...new Set(samples.flatMap((sample) => Object.keys(sample.stages)))];
  const rows = names.map((name) => samples.map((sample) => sample.stages[name]));
  drawLines(byId("stages"), rows, Math.max(1, ...rows.flat().filter(Number.isFinite)));
  if (byId("legend").children.length !== names.length) {
    byId("legend").replaceChildren(...names.map((name, index) => {
      const entry = document.createElement("li");
      const patch = document.createElement("i");
      patch.style.background = COLOURS[index % COLOURS.length];
      entry.append(patch, name);
      return entry;
    }));
  }
  drawLines(byId("heat"), [samples.map((sample) => sample.temperature)], 100);
}

function showStream() {
  // A stream that ends is requested again; when there are too many viewers, single frames are shown instead.
  const view = byId("view");
  view.onerror = () => { view.dataset.broken = "yes"; };
  view.src = "/stream.mjpg";
  setInterval(() => {
    if (!view.dataset.broken) return;
    view.onload = () => {
      delete view.dataset.broken;
      view.onload = null;
      setTimeout(() => { view.dataset.broken = "yes"; }, 1000);
    };
    view.src = `/frame.jpg?${Date.now()}`;
  }, 2000);
}

async function poll() {
  try {
    const [status, controls, events] = await Promise.all([
      request("/api/status"), request("/api/controls"), request("/api/events?limit=40"),
    ]);
    showStatus(status);
    showControls(controls);
    showEvents(events);
    samples.push({ stages: status.stages, temperature: status.temperature });
    samples = samples.slice(-SAMPLES);
    drawCharts();
  } catch (error) {
    byId("state").textContent = "not responding";
    byId("state").className = "stalled";
  }
  setTimeout(poll, document.hidden ? 5000 : 1000);
}

function setNightMode(on) {
  document.documentElement.classList.toggle("night", on);
  byId("night").setAttribute("aria-pressed", on);
  localStorage.setItem("night", on ? "yes" : "no");
}

byId("night").onclick = () => setNightMode(!document.documentElement.classList.contains("night"));
byId("pause").onclick = () => updateControls({ paused: byId("pause").getAttribute("aria-pressed") !== "true" });
byId("inputs").onclick = () => updateControls({ show_inputs: byId("inputs").getAttribute("aria-pressed") !== "true" });
byId("score").onpointerdown = () => { dragging = true; };
byId("score").onpointerup = () => { dragging = false; };
byId("score").oninput = () => { byId("score-value").textContent = Number(byId("score").value).toFixed(2); };
byId("score").onchange = () => { dragging = false; updateControls({ min_score: Number(byId("score").value) }); };
byId("stack").onchange = () => updateControls({ stack: Number(byId("stack").value) });
byId("save").onclick = async () => {
  try { showMessage(`saved: ${(await request("/api/frames", {})).name}`); } catch (error) { showMessage(error.message); }
};
for (const [id, path, method] of [["logout", "/logout", "POST"], ["logout-all", "/api/sessions", "DELETE"]]) {
  byId(id).onclick = async () => { await fetch(path, { method }); location.href = "/login"; };
}
request("/api/sessions").then((sessions) => {
  byId("logout").hidden = byId("logout-all").hidden = !sessions.some((session) => session.current);
}).catch(() => {});
setNightMode(localStorage.getItem("night") === "yes");
request("/api/history").then((past) => { samples = past.concat(samples); }).catch(() => {}).finally(poll);
showStream();
