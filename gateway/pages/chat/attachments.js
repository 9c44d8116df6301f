// The files that go with the next message: chosen, pasted or dropped.

import { sentence } from "./sentences.js";

const find = (id) => document.getElementById(id);

export class Attachments {
  #files = [];
  #list = find("attachments");
  #changed;

  /** @param {() => void} changed called when files are added or removed */
  constructor(changed) {
    this.#changed = changed;
    const input = find("files");
    find("attach").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      this.add(input.files);
      input.value = ""; // so that the same file can be chosen again
    });
    find("message").addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    this.#list.addEventListener("click", (event) => this.#remove(event.target.closest("button")));
    this.#watchDrops();
  }

  get size() {
    return this.#files.length;
  }

  add(files) {
    this.#files.push(...files);
    this.#draw();
  }

  /** Returns the files, which go with a message now. */
  release() {
    const files = this.#files;
    this.#files = [];
    this.#draw();
    return files;
  }

  #take(event, data) {
    if (!data?.files.length) return;
    event.preventDefault();
    this.add(data.files);
  }

  #watchDrops() {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const mark = (over) => document.body.classList.toggle("drop", over);
    document.addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      mark(true);
    });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
    document.addEventListener("drop", (event) => {
      mark(false);
      if (!document.querySelector("dialog[open]")) this.#take(event, event.dataTransfer);
    });
  }

  #draw() {
    this.#list.replaceChildren(...this.#files.map((file) => {
      const line = find("attachment-template").content.firstElementChild.cloneNode(true);
      line.querySelector(".name").textContent = file.name;
      line.querySelector("button .unseen").textContent = sentence("Remove {name}", { name: file.name });
      return line;
    }));
    this.#list.hidden = !this.#files.length;
    this.#changed();
  }

  #remove(button) {
    if (!button) return;
    this.#files.splice([...this.#list.children].indexOf(button.closest("li")), 1);
    this.#draw();
    find("message").focus();
  }
}
