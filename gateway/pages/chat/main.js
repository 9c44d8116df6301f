// The web chat: connects its parts and starts.

import { Assistants } from "./assistants.js";
import { Composer } from "./composer.js";
import { Conversations, forgetAll } from "./conversations.js";
import { copyOnClick } from "./copy.js";
import { openFile } from "./files.js";
import { Gateway } from "./gateway.js";
import * as key from "./key.js";
import { arrivals } from "./libraries.js";
import { closePanel, fitPanel, inPanel } from "./panel.js";
import { Scroll } from "./scroll.js";
import { Talk } from "./talk.js";
import { View } from "./view.js";

const find = (id) => document.getElementById(id);
const { keyed, maxChars } = document.body.dataset;

fitPanel();
keepInSight();
watchNetwork();

const gateway = new Gateway(key.known(), askKey);
const composer = new Composer(Number(maxChars), { say: (text, files) => talk.say(text, files), stop: () => talk.stop(), wait: () => view.tellToWait() });
const view = new View(composer, new Scroll());
const assistants = new Assistants((title) => view.passOn(title));
const talk = new Talk(gateway, view, assistants);

copyOnClick(find("lines"));
new Conversations({ current: () => talk.thread, open: (id) => talk.open(id), remove: (id) => talk.remove(id) });
find("lines").addEventListener("click", act);
arrivals.addEventListener("load", () => view.redraw());
find("new").addEventListener("click", () => talk.renew());
find("back").addEventListener("click", () => talk.goBack());
find("empty").addEventListener("click", (event) => {
  const suggestion = event.target.closest(".suggestion");
  if (suggestion && !talk.busy) talk.say(suggestion.textContent);
});
document.addEventListener("keydown", escape);
key.offerChange(() => {
  forgetAll(); // the next one to use this browser may be somebody else
  location.reload();
});
await start();

async function start() {
  if (keyed === "true" && !gateway.key) gateway.key = await askKey(false);
  await assistants.load(gateway);
  await talk.begin();
  find("new").disabled = false;
  find("show-conversations").disabled = false;
  if (!talk.busy) {
    composer.busy(false);
    find("empty").hidden = find("lines").childElementCount > 0;
  }
  composer.focus();
}

/** The buttons below messages and replies. */
function act(event) {
  const button = event.target.closest("button");
  const line = button?.closest("li.said, li.reply");
  if (button?.matches(".change")) change(line);
  else if (button?.matches(".regenerate") && !talk.busy) askAgain(line.previousElementSibling);
  else if (button?.matches(".file")) openFile(button, (id) => gateway.file(id)).catch((problem) => view.notice(problem.message));
  else if (button?.matches(".rate")) talk.rate(line.reply, button.dataset.value);
}

function change(said) {
  composer.put(textOf(said), said.files);
}

/** Asks a message again. One whose files were sent before the page was loaded needs them again. */
function askAgain(said) {
  if (said.files || !said.querySelector(".attached li")) talk.say(textOf(said), said.files);
  else change(said);
}

function textOf(said) {
  return said.querySelector(".text").textContent;
}

function askKey(refused) {
  return key.ask((tried) => gateway.takes(tried), refused);
}

function escape(event) {
  if (event.key !== "Escape" || event.isComposing || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return; // it closes
  if (talk.busy) talk.stop();
  else if (inPanel) closePanel();
}

/** Fits the page above a phone's keyboard, as not every browser shrinks the page for it. */
function keepInSight() {
  const { visualViewport: seen } = window;
  if (!seen) return;
  const fit = () => {
    if (seen.scale === 1) document.documentElement.style.setProperty("--seen", `${seen.height}px`);
  };
  seen.addEventListener("resize", fit);
  fit();
}

function watchNetwork() {
  for (const name of ["offline", "online"]) window.addEventListener(name, () => view.notice(""));
}
