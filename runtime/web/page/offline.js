"use strict";
async function retry() {
  try {
    await fetch("/healthz", { cache: "no-store" });
    location.href = "/";
  } catch { /* still not reachable */ }
}
document.getElementById("retry").onclick = retry;
setInterval(retry, 5000);
