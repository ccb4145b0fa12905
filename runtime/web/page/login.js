"use strict";
if (localStorage.getItem("night") === "yes") document.documentElement.classList.add("night");
document.getElementById("login").onsubmit = async (event) => {
  event.preventDefault();
  const answer = await fetch("/login", {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: document.getElementById("token").value.trim() }),
  });
  if (answer.ok) location.href = "/";
  else document.getElementById("told").textContent = answer.status === 401 ? "This is not the token." : answer.status === 429 ? `Too many failed logins: try again in ${answer.headers.get("Retry-After")} s.` : `The server answered with status ${answer.status}.`;
};
