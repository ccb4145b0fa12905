// The picture with the tracked objects.
import { byId, make, request } from "/api.js";

let shown = 0;
let objects = [];
export const inSight = new Set();
export const titles = new Map(); // of listed objects by id, where the list knows more than the tracker
export const listeners = { open: () => {}, seen: () => {} };

export function setShape(width, height) {
  byId("stage").style.setProperty("--ratio", width / height);
}

function drawBoxes() {
  const layer = byId("boxes");
  layer.hidden = byId("show-boxes").getAttribute("aria-pressed") !== "true";
  const old = new Map([...layer.children].map((box) => [box.dataset.id, box]));
  for (const { id, label, name, box: [x0, y0, x1, y1], seen } of objects) {
    let box = old.get(id);
    old.delete(id);
    if (!box) {
      box = make("button", { type: "button", className: "box" }, make("span"));
      box.dataset.id = id;
      box.onclick = () => { closeFull(); listeners.open(id); };
      layer.append(box);
    }
    const words = titles.get(id) ?? label;
    if (box.firstChild.textContent !== words) box.firstChild.textContent = words;
    box.dataset.kind = kind(name);
    box.classList.toggle("missed", !seen);
    box.classList.toggle("low", y0 < 0.08);
    box.classList.toggle("right", x0 > 0.6);
    Object.assign(box.style, { left: `${x0 * 100}%`, top: `${y0 * 100}%`, width: `${(x1 - x0) * 100}%`, height: `${(y1 - y0) * 100}%` });
  }
  for (const box of old.values()) box.remove();
}

export function kind(name) {
  return ["spiral", "smooth", "edge", "disk"].find((start) => name.startsWith(start)) ?? "other";
}

// The picture before stays until the new one is there.
function load(path) {
  return new Promise((resolve, reject) => {
    const image = byId("view");
    image.onload = resolve;
    image.onerror = reject;
    image.src = path;
  });
}

export async function follow() {
  for (;;) {
    try {
      const view = await request(`/api/view?after=${shown}&wait=8`);
      if (view.image && view.image !== shown && !document.hidden) {
        await load(`/view.jpg?${view.image}`);
        shown = view.image;
        objects = view.objects;
        setShape(view.width, view.height);
        byId("view").hidden = false;
        byId("empty").hidden = true;
        inSight.clear();
        objects.forEach((object) => inSight.add(object.id));
        drawBoxes();
        listeners.seen();
      }
      await new Promise((resolve) => { setTimeout(resolve, document.hidden ? 2000 : 60); });
    } catch {
      shown = 0; // the device may have been restarted, and counts again
      await new Promise((resolve) => { setTimeout(resolve, 1500); });
    }
  }
}

export function showInputs(on) {
  byId("inputs").setAttribute("aria-pressed", on);
  byId("view").alt = on ? "The frame and its tiles as the network is given them, with boxes around detected galaxies"
    : "The latest picture of the telescope";
}

function closeFull() {
  document.body.classList.remove("full");
  byId("close-full").hidden = true;
  if (document.fullscreenElement) document.exitFullscreen();
}

export function start() {
  byId("show-boxes").onclick = () => {
    const on = byId("show-boxes").getAttribute("aria-pressed") !== "true";
    byId("show-boxes").setAttribute("aria-pressed", on);
    localStorage.setItem("boxes", on ? "yes" : "no");
    drawBoxes();
  };
  byId("show-boxes").setAttribute("aria-pressed", localStorage.getItem("boxes") !== "no");
  byId("full").onclick = () => {
    document.body.classList.add("full");
    byId("close-full").hidden = false;
    // Phones without this still show the picture in the whole window.
    document.documentElement.requestFullscreen?.().catch(() => {});
    byId("close-full").focus();
  };
  byId("close-full").onclick = closeFull;
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeFull(); });
  document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement) closeFull(); });
  follow();
}
