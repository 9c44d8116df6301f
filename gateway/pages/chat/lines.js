// The messages of a conversation on the page: what the user wrote, and replies that may still be streaming.

import { titleOf } from "./assistants.js";
import { listFiles } from "./files.js";
import { render } from "./markdown.js";
import { showQuestion } from "./questions.js";
import { sentence } from "./sentences.js";

const SLOWEST = 1000; // maximum milliseconds between two renderings of a streaming reply
const VISIBLE = /[^\s\p{Cc}\p{Default_Ignorable_Code_Point}\u2800\ufffc]/u; // as gateway/domain/visible_text.py
const clone = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/**
 * @param {string} text shown as plain text
 * @param {string[]} attached names of files
 */
export function said(text, attached = []) {
  const line = clone("said-template");
  line.querySelector(".text").textContent = text;
  line.querySelector(".text").hidden = !text;
  const list = line.querySelector(".attached");
  list.hidden = !attached.length;
  list.append(...attached.map((name) => Object.assign(document.createElement("li"), { textContent: name })));
  return line;
}

/** A reply: streaming, complete, stopped or failed. */
export class Reply {
  /** The turn's id, as soon as it is known. */
  turn = null;
  #text = "";
  #drawn = "";
  #timer = 0;
  #lasted = 0;
  #count = 0;

  constructor() {
    this.line = clone("reply-template");
    this.body = this.line.querySelector(".text");
    this.line.reply = this;
  }

  get text() {
    return this.#text;
  }

  /** The text for screen readers. */
  get spoken() {
    return this.body.innerText;
  }

  /** Shows that the reply is pending. */
  expect() {
    this.#show("doing");
    this.#tool("");
  }

  add(text) {
    this.#text += text;
    this.#tool("");
    // The longer rendering takes, the less often it is done, so that the page stays responsive.
    this.#timer ||= setTimeout(() => requestAnimationFrame(() => this.#draw()), Math.min(this.#lasted * 4, SLOWEST));
  }

  /** Begins the text again, as it is streamed again. */
  restart() {
    this.#text = "";
  }

  /** Names the assistant, where there are several. */
  from(assistant) {
    this.line.querySelector(".by").textContent = titleOf(assistant);
  }

  /** Shows how the reply was rated. */
  rated(value) {
    for (const button of this.line.querySelectorAll(".rate")) button.setAttribute("aria-pressed", button.dataset.value === value);
  }

  /** Shows a question about a call of a tool, or what was decided. */
  ask(asked, decide) {
    this.#tool(asked.decision ? "" : sentence("Waiting for an approval …"));
    showQuestion(this.line.querySelector(".questions"), asked, decide);
  }

  use(tool) {
    this.#tool(sentence("Using {tool} …", { tool: tool.replaceAll("_", " ") }));
  }

  /** Renders again what is shown, with a library that has arrived since. */
  redraw() {
    this.#drawn = null;
    this.#draw();
  }

  finish(text, files = []) {
    this.#text = text;
    this.#draw();
    this.line.querySelector(".files").replaceChildren(...listFiles(files));
    const visible = VISIBLE.test(text) || files.length > 0;
    this.#show(visible ? "tools" : "remark");
    this.#remark(visible ? "" : sentence("The reply is empty."));
  }

  /** Ends the reply. */
  end(remark) {
    this.#draw();
    this.#show("remark", this.#text && "tools");
    this.#remark(remark);
  }

  /**
   * @param {{again?: () => void, edit?: () => void}} ways what the person can do about it
   */
  fail(problem, ways) {
    this.#draw();
    this.#show("problem");
    const box = this.line.querySelector(".problem");
    box.firstElementChild.textContent = problem.message;
    for (const name of ["again", "edit"]) {
      const button = box.querySelector(`.${name}`);
      button.hidden = !ways[name];
      button.onclick = ways[name] ?? null;
    }
    this.#countDown(box.querySelector(".again"), Math.ceil(problem.wait));
  }

  #show(...shown) {
    this.#count += 1;
    for (const name of ["doing", "remark", "problem", "tools"]) {
      this.line.querySelector(`:scope > .${name}`).hidden = !shown.includes(name);
    }
  }

  #remark(words) {
    this.line.querySelector(".remark").textContent = words;
  }

  #tool(words) {
    const place = this.line.querySelector(".tool");
    if (place.textContent !== words) place.textContent = words;
  }

  #countDown(button, seconds, count = this.#count) {
    if (count !== this.#count) return; // something else is shown now
    button.disabled = seconds > 0;
    button.textContent = seconds > 0 ? sentence("Try again in {count} s", { count: seconds }) : sentence("Try again");
    if (seconds > 0) setTimeout(() => this.#countDown(button, seconds - 1, count), 1000);
  }

  /** Keeps unchanged nodes, so that selected text stays selected and code stays scrolled. */
  #draw() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#drawn === this.#text) return;
    this.#drawn = this.#text;
    const begun = performance.now();
    const fresh = [...render(this.#text).childNodes];
    const old = [...this.body.childNodes];
    const same = fresh.findIndex((node, index) => !old[index]?.isEqualNode(node));
    const kept = same < 0 ? fresh.length : same;
    old.slice(kept).forEach((node) => node.remove());
    this.body.append(...fresh.slice(kept));
    this.#lasted = performance.now() - begun;
  }
}
