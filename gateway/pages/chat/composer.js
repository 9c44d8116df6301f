// The message box with its two buttons.

import { Attachments } from "./attachments.js";
import { sentence } from "./sentences.js";

const find = (id) => document.getElementById(id);

export class Composer {
  #box = find("message");
  #send = find("send");
  #stop = find("stop");
  #count = find("count");
  #most;
  #busy = true;
  #attachments = new Attachments(() => this.#changed());

  /** @param {number} most the maximum number of characters of a message */
  constructor(most, { say, stop, wait }) {
    this.#most = most;
    find("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(say);
    });
    this.#box.addEventListener("input", () => this.#changed());
    this.#box.addEventListener("keydown", (event) => {
      // Ignore Enter that selects a word in an input method; some input methods report it as key code 229.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      if (this.#busy && this.#hasContent()) wait();
      else this.#submit(say);
    });
    this.#stop.addEventListener("click", () => {
      stop();
      this.focus();
    });
  }

  focus() {
    // On a phone, focusing would open the keyboard over the conversation.
    if (matchMedia("(pointer: fine)").matches) this.#box.focus();
  }

  put(text, files = []) {
    this.#box.value = text;
    this.#attachments.add(files);
    this.#changed();
    this.#box.focus();
  }

  busy(busy) {
    this.#busy = busy;
    this.#send.hidden = busy;
    this.#stop.hidden = !busy;
    this.#stop.disabled = false;
    this.#changed();
  }

  stopping() {
    this.#stop.disabled = true;
  }

  #submit(say) {
    if (!this.#ready()) return;
    const text = this.#box.value.trim();
    this.#box.value = "";
    this.#box.focus();
    this.#changed();
    say(text, this.#attachments.release());
  }

  #ready() {
    return !this.#busy && this.#hasContent() && this.#left() >= 0;
  }

  #hasContent() {
    return this.#box.value.trim() !== "" || this.#attachments.size > 0;
  }

  /** Returns how many characters remain, counted exactly only near the limit. */
  #left() {
    const text = this.#box.value.trim();
    return text.length < this.#most * 0.9 ? this.#most : this.#most - [...text].length;
  }

  #changed() {
    const left = this.#left();
    this.#send.disabled = !this.#ready();
    this.#count.hidden = left === this.#most;
    this.#count.classList.toggle("over", left < 0);
    this.#count.textContent = left < 0 ? sentence("{count} characters too many", { count: -left }) : sentence("{count} characters left", { count: left });
    if (CSS.supports("field-sizing", "content")) return;
    this.#box.style.height = "auto";
    this.#box.style.height = `${this.#box.scrollHeight}px`;
  }
}
