"use strict";
// Runs before the page is painted, so that night mode begins without a flash of light.
const theme = {
  get night() { return localStorage.getItem("night") === "yes"; },
  get brightness() { return Number(localStorage.getItem("brightness")) || 100; },
  apply() {
    document.documentElement.classList.toggle("night", theme.night);
    document.documentElement.style.setProperty("--brightness", theme.brightness / 100);
    document.querySelector("meta[name=theme-color]").content = theme.night ? "#000000" : "#0b0d12";
  },
  setNight(on) {
    localStorage.setItem("night", on ? "yes" : "no");
    theme.apply();
  },
  setBrightness(percent) {
    localStorage.setItem("brightness", percent);
    theme.apply();
  },
  bind(button) {
    const show = () => button.setAttribute("aria-pressed", theme.night);
    button.onclick = () => { theme.setNight(!theme.night); show(); document.dispatchEvent(new Event("themechange")); };
    show();
  },
};
theme.apply();
