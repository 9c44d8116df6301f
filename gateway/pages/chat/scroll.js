// Keeps the end of the conversation in view while it grows, unless the reader has scrolled up.

const NEAR = 4;

export class Scroll {
  #box = document.getElementById("scroll");
  #button = document.getElementById("to-end");
  #sticks = true;
  #top = 0;

  constructor() {
    this.#box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#button.addEventListener("click", () => {
      this.toEnd();
      this.#box.focus();
    });
    const watch = new ResizeObserver(() => this.#grown());
    watch.observe(this.#box);
    watch.observe(document.getElementById("lines"));
  }

  toEnd() {
    this.#sticks = true;
    this.#grown();
  }

  get #left() {
    return this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight;
  }

  #scrolled() {
    const top = this.#box.scrollTop;
    if (this.#left <= NEAR) this.#sticks = true;
    else if (top < this.#top) this.#sticks = false; // only the reader scrolls up
    this.#top = top;
    this.#tell();
  }

  #grown() {
    if (this.#sticks) this.#box.scrollTop = this.#box.scrollHeight;
    this.#tell();
  }

  #tell() {
    this.#button.hidden = this.#sticks || this.#left <= NEAR;
  }
}
