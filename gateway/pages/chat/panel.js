// The page as a panel on another site: it looks as that site wishes, and can be closed.

const THEMES = ["light", "dark"];
const find = (id) => document.getElementById(id);
const wishes = new URLSearchParams(location.search);

export const inPanel = wishes.has("panel") && window.parent !== window;
/** The assistant that the other site has set for new conversations; null: none. */
export const setAssistant = (inPanel && wishes.get("assistant")) || null;

/** Takes over the bar that the embedding script shows until now. */
export function fitPanel() {
  if (!inPanel) return;
  const root = document.documentElement;
  const wish = (name) => wishes.get(name) ?? "";
  root.classList.add("panel");
  if (THEMES.includes(wish("theme"))) root.style.colorScheme = wish("theme");
  for (const name of ["color", "on-color"]) {
    if (CSS.supports("color", wish(name))) root.style.setProperty(`--panel-${name}`, wish(name));
  }
  if (wish("title")) document.querySelector(".top h1").textContent = wish("title");
  find("close-panel").hidden = false;
  find("close-panel").addEventListener("click", closePanel);
  tell("chat:ready");
}

export function closePanel() {
  tell("chat:close");
}

/** Reveals nothing to the other site, whichever it is. */
function tell(what) {
  window.parent.postMessage(what, "*");
}
