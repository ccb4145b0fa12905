"use strict";
const at = (id) => document.getElementById(id);
const COLOURS = ["#6cb2ff", "#ffb45a", "#96ff96", "#ff82c8", "#d0a8ff", "#ffe27a", "#7ae0d6", "#ff8a7a", "#b8c4d6"];
const SAMPLES = 600;
let samples = [];
let shownEvents = "";
let turning = false; // whether a person has the threshold in hand, so that it is not moved under the finger

async function ask(path, body) {
  const answer = await fetch(path, body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (answer.status === 401) location.href = "/login";
  const told = await answer.json();
  if (!answer.ok) throw new Error(typeof told.detail === "string" ? told.detail : `answer ${answer.status}`);
  return told;
}

function tell(text) { at("told").textContent = text; }

async function change(what) {
  try { showControls(await ask("/api/controls", what)); } catch (problem) { tell(problem.message); }
}

function showControls(now) {
  at("pause").textContent = now.paused ? "Go on" : "Pause";
  at("pause").setAttribute("aria-pressed", now.paused);
  if (!turning) at("score").value = now.min_score;
  at("score-value").textContent = Number(at("score").value).toFixed(2);
  at("stack-label").hidden = now.stack === null;
  if (now.stack !== null && document.activeElement !== at("stack")) at("stack").value = now.stack;
}

function showStatus(now) {
  at("state").textContent = now.state;
  at("state").className = now.state;
  const more = ["dropped", "gated", "reopened", "hung"].filter((name) => now[name]).map((name) => `${now[name]} ${name}`);
  at("figures").textContent = [
    now.source, `${now.frames} frames`, `${now.frames_per_second.toFixed(1)} frames/s`, `${now.events} objects`, ...more,
    `${Math.round(now.memory_bytes / 1e6)} MB`,
  ].join(" · ");
  at("warning").hidden = !now.evidence_stopped;
  at("warning").textContent = now.evidence_stopped ? `No crops are written: ${now.evidence_stopped}` : "";
  at("degrees").textContent = now.temperature === null ? "(not known)" : `${now.temperature.toFixed(1)} °C`;
}

function showEvents(list) {
  const key = JSON.stringify(list.map((one) => [one.id, one.last_time, one.crop, one.state]));
  if (key === shownEvents) return;
  shownEvents = key;
  at("none").hidden = list.length > 0;
  at("events").replaceChildren(...list.reverse().map((one) => {
    const row = document.createElement("li");
    row.dataset.id = one.id;
    const picture = document.createElement(one.crop ? "img" : "span");
    if (one.crop) {
      picture.src = `/${one.crop}?${one.best_frame}`;
      picture.alt = "";
      picture.loading = "lazy";
    } else picture.className = "blank";
    const words = document.createElement("div");
    const name = document.createElement("p");
    name.textContent = one.sure === false ? "galaxy, class uncertain" : one.class.replaceAll("_", " ");
    const rest = document.createElement("p");
    rest.className = "dim";
    const time = new Date(one.first_time).toLocaleTimeString();
    rest.textContent = `${one.class.replaceAll("_", " ")} ${Math.round(one.probability * 100)} % · score ${one.score.toFixed(2)} · ${time} · ${one.frames} frames · ${one.source}`;
    words.append(name, rest);
    row.append(picture, words);
    return row;
  }));
}

function line(canvas, rows, top) {
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = "#9aa4b5";
  pen.fillText(top.toPrecision(3), 4, 14);
  rows.forEach((values, index) => {
    pen.strokeStyle = COLOURS[index % COLOURS.length];
    pen.lineWidth = 1.5;
    pen.beginPath();
    let drawn = false;
    values.forEach((value, place) => {
      if (value === null || value === undefined) return;
      const x = width * (place + SAMPLES - values.length) / SAMPLES;
      const y = height - 4 - (height - 22) * value / top;
      if (drawn) pen.lineTo(x, y); else pen.moveTo(x, y);
      drawn = true;
    });
    pen.stroke();
  });
}

function draw() {
  const names = [...new Set(samples.flatMap((one) => Object.keys(one.stages)))];
  const rows = names.map((name) => samples.map((one) => one.stages[name]));
  line(at("stages"), rows, Math.max(1, ...rows.flat().filter(Number.isFinite)));
  if (at("legend").children.length !== names.length) {
    at("legend").replaceChildren(...names.map((name, index) => {
      const entry = document.createElement("li");
      const patch = document.createElement("i");
      patch.style.background = COLOURS[index % COLOURS.length];
      entry.append(patch, name);
      return entry;
    }));
  }
  line(at("heat"), [samples.map((one) => one.temperature)], 100);
}

function watch() {
  // A stream that breaks off is asked for again; where too many are watching, single pictures do.
  const view = at("view");
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

async function look() {
  try {
    const [now, controls, events] = await Promise.all([
      ask("/api/status"), ask("/api/controls"), ask("/api/events?limit=40"),
    ]);
    showStatus(now);
    showControls(controls);
    showEvents(events);
    samples.push({ stages: now.stages, temperature: now.temperature });
    samples = samples.slice(-SAMPLES);
    draw();
  } catch (problem) {
    at("state").textContent = "no answer";
    at("state").className = "stalled";
  }
  setTimeout(look, document.hidden ? 5000 : 1000);
}

function night(on) {
  document.documentElement.classList.toggle("night", on);
  at("night").setAttribute("aria-pressed", on);
  localStorage.setItem("night", on ? "yes" : "no");
}

at("night").onclick = () => night(!document.documentElement.classList.contains("night"));
at("pause").onclick = () => change({ paused: at("pause").getAttribute("aria-pressed") !== "true" });
at("score").onpointerdown = () => { turning = true; };
at("score").onpointerup = () => { turning = false; };
at("score").oninput = () => { at("score-value").textContent = Number(at("score").value).toFixed(2); };
at("score").onchange = () => { turning = false; change({ min_score: Number(at("score").value) }); };
at("stack").onchange = () => change({ stack: Number(at("stack").value) });
at("save").onclick = async () => {
  try { tell(`kept: ${(await ask("/api/frames", {})).name}`); } catch (problem) { tell(problem.message); }
};
night(localStorage.getItem("night") === "yes");
ask("/api/history").then((past) => { samples = past.concat(samples); }).catch(() => {}).finally(look);
watch();
