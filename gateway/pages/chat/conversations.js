// The conversations of this browser: their threads and titles, kept here and nowhere else.

import { titleOf } from "./assistants.js";
import { lasting } from "./memory.js";
import { sentence } from "./sentences.js";

const MOST = 200;
const TITLE_LENGTH = 80;
const find = (id) => document.getElementById(id);

/** @returns {{id: string, title: string, assistant?: string}[]} the newest first */
const all = () => JSON.parse(lasting.get("conversations") ?? "[]");
const keep = (list) => lasting.set("conversations", JSON.stringify(list.slice(0, MOST)));

/**
 * Puts a conversation first; its title is its first message until it is renamed.
 * @param {string} assistant the name of whoever answers there now
 */
export function note(id, message, assistant) {
  const known = all().find((one) => one.id === id);
  const title = message.replaceAll(/\s+/g, " ").slice(0, TITLE_LENGTH);
  keep([{ ...(known ?? { id, title }), assistant }, ...all().filter((one) => one.id !== id)]);
}

export function forget(id) {
  keep(all().filter((one) => one.id !== id));
}

export function forgetAll() {
  lasting.remove("conversations");
}

function rename(id, title) {
  keep(all().map((one) => (one.id === id ? { ...one, title } : one)));
}

/** The dialog that lists them. */
export class Conversations {
  #dialog = find("conversations");
  #search = find("conversation-search");
  #list = find("conversation-list");
  #work;

  /**
   * @param {{current: () => string | null, open: (id: string) => void, remove: (id: string) => Promise<void>}} work
   */
  constructor(work) {
    this.#work = work;
    find("show-conversations").addEventListener("click", () => this.#open());
    find("close-conversations").addEventListener("click", () => this.#dialog.close());
    this.#search.addEventListener("input", () => this.#draw());
    this.#list.addEventListener("click", (event) => this.#clicked(event.target.closest("button")));
    this.#list.addEventListener("submit", (event) => this.#renamed(event));
    this.#list.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.target.tagName !== "INPUT") return;
      event.preventDefault(); // which would close the dialog
      this.#draw(event.target.closest("li").dataset.id);
    });
  }

  #open() {
    this.#search.value = "";
    this.#say("");
    this.#draw();
    this.#dialog.showModal();
  }

  /** @param {string} [focused] the conversation that gets the focus */
  #draw(focused) {
    const wanted = this.#search.value.trim().toLowerCase();
    const shown = all().filter(({ title }) => title.toLowerCase().includes(wanted));
    this.#list.replaceChildren(...shown.map((one) => this.#line(one)));
    find("no-conversations").hidden = shown.length > 0;
    this.#list.querySelector(`[data-id="${CSS.escape(focused ?? "")}"] .open`)?.focus();
  }

  #line({ id, title, assistant }) {
    const line = find("conversation-template").content.firstElementChild.cloneNode(true);
    line.dataset.id = id;
    line.querySelector(".title").textContent = title;
    line.querySelector(".by").textContent = assistant ? titleOf(assistant) : "";
    if (id === this.#work.current()) line.querySelector(".open").setAttribute("aria-current", "true");
    line.querySelector(".rename .unseen").textContent = sentence("Rename {title}", { title });
    line.querySelector(".delete .unseen").textContent = sentence("Delete {title}", { title });
    return line;
  }

  #clicked(button) {
    const line = button?.closest("li");
    if (button?.matches(".open")) {
      this.#dialog.close();
      this.#work.open(line.dataset.id);
    } else if (button?.matches(".rename")) this.#edit(line);
    else if (button?.matches(".delete")) this.#confirm(line);
    else if (button?.matches(".really")) this.#delete(line);
    else if (button?.matches(".keep")) this.#draw(line.dataset.id);
  }

  #edit(line) {
    const form = find("rename-template").content.firstElementChild.cloneNode(true);
    const box = form.querySelector("input");
    box.value = line.querySelector(".title").textContent;
    line.replaceChildren(form);
    box.select();
  }

  #renamed(event) {
    event.preventDefault();
    const { id } = event.target.closest("li").dataset;
    const title = event.target.querySelector("input").value.trim();
    if (title) rename(id, title);
    this.#draw(id);
  }

  #confirm(line) {
    const question = find("delete-template").content.firstElementChild.cloneNode(true);
    const title = line.querySelector(".title").textContent;
    question.querySelector("p").textContent = sentence("Delete “{title}” for good?", { title });
    line.replaceChildren(question);
    question.querySelector(".keep").focus();
  }

  async #delete(line) {
    const { id } = line.dataset;
    for (const button of line.querySelectorAll("button")) button.disabled = true;
    try {
      await this.#work.remove(id);
      forget(id);
      this.#say(sentence("The conversation was deleted."));
    } catch (problem) {
      this.#say(sentence("The conversation was not deleted. {why}", { why: problem.message }));
    }
    this.#draw();
    this.#search.focus();
  }

  #say(words) {
    find("conversation-status").textContent = words;
  }
}
