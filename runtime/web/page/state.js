// The state of the run in words: see docs/live-page.md.
import { byId, seconds } from "/api.js";

const LATE = 5; // seconds without an answer after which the device counts as silent
let status = null;
let answered = performance.now();
let failed = false;

const since = () => (performance.now() - answered) / 1000;
const age = () => (status?.last_frame_age_seconds ?? 0) + since();

export function showAnswer(fresh) {
  status = fresh;
  answered = performance.now();
  failed = false;
  showState();
}

export function showSilence() {
  failed = true;
  showState();
}

export function isSilent() { return since() > LATE || (failed && since() > 2); }

// Words, class, and whether the picture is out of date.
function describe() {
  if (isSilent()) return [`No answer from the device for ${seconds(since())}`, "bad", true];
  if (!status) return ["Connecting", "waiting", false];
  if (status.state === "ended") return ["The run has ended", "bad", true];
  if (status.writer_failed) return [`Writing has failed: ${status.evidence_stopped}`, "bad", false];
  if (status.state === "stalled") {
    return status.last_frame_age_seconds === null ? ["The camera has sent no picture, trying again", "bad", true]
      : [`Camera lost ${seconds(age())} ago, trying again`, "bad", true];
  }
  if (status.evidence_stopped) {
    const full = /disk is full|quota|no space|floor/i.test(status.evidence_stopped);
    return [full ? "Disk full: finds are kept, pictures are not" : `Pictures are not kept: ${status.evidence_stopped}`, "warn", false];
  }
  if (status.state === "starting") return ["Waiting for the first picture", "waiting", false];
  if (status.state === "paused") return ["Detection paused", "warn", false];
  return [`Live, ${seconds(age())}`, "good", false];
}

export function showState() {
  const [words, kind, old] = describe();
  const state = byId("state");
  if (state.textContent !== words) state.textContent = words;
  state.className = `${kind} ${isSilent() ? "silent" : status?.state ?? "connecting"}`;
  byId("frame").classList.toggle("old", old);
  byId("stale").hidden = !old || byId("view").hidden;
  byId("stale").textContent = old ? `${seconds(age())} old` : "";
  for (const control of document.querySelectorAll("#save, #pause, #inputs, #settings input:not(#stretch, #brightness), #settings button, .verdict button")) {
    control.disabled = isSilent() || status?.state === "ended" || control.dataset.off === "yes";
  }
}
