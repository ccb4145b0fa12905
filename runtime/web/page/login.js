"use strict";
const byId = (id) => document.getElementById(id);

async function login(token) {
  try {
    const answer = await fetch("/login", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }),
    });
    if (answer.ok) { location.replace("/"); return; }
    byId("told").textContent = answer.status === 401 ? "This is not the token, or the link has been used."
      : answer.status === 429 ? `Too many failed logins: try again in ${answer.headers.get("Retry-After")} s.`
      : `The device answered with status ${answer.status}.`;
  } catch {
    byId("told").textContent = "The device does not answer.";
  }
}

byId("login").onsubmit = (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  if (token) login(token); else byId("told").textContent = "Give the token.";
};
byId("show").onclick = () => {
  const shown = byId("token").type === "text";
  byId("token").type = shown ? "password" : "text";
  byId("show").textContent = shown ? "Show the token" : "Hide the token";
  byId("show").setAttribute("aria-pressed", !shown);
};
theme.bind(byId("night"));
// A pairing link has its code behind the #, which no server or proxy receives or logs.
function followLink() {
  if (location.hash.length < 2) return;
  const code = location.hash.slice(1);
  history.replaceState(null, "", "/login");
  login(code);
}
addEventListener("hashchange", followLink); // this page may be open already
followLink();
