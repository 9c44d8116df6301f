// The assistants that a message can ask for: a choice in the bar, where there are several.

import { passing } from "./memory.js";
import { setAssistant } from "./panel.js";

const find = (id) => document.getElementById(id);
const titles = new Map();

/** What an assistant calls itself; its name if it is not there any more. */
export const titleOf = (name) => titles.get(name) ?? name;

export class Assistants {
  #select = find("assistant");
  #thread = null;
  /** The name that the next message asks for; null: it names none, as the conversation has one. */
  #wish = setAssistant;

  /** @param {(title: string) => void} chosen called with whoever answers from now on in a conversation that has begun */
  constructor(chosen) {
    this.#select.addEventListener("change", () => {
      this.#wish = this.#select.value;
      passing.set("assistant", JSON.stringify({ thread: this.#thread, name: this.#wish }));
      if (this.#thread) chosen(titleOf(this.#wish));
    });
  }

  get wish() {
    return this.#wish;
  }

  /** Fetches the list. Without it the page asks whoever the gateway chooses. */
  async load(gateway) {
    const { assistants } = await gateway.assistants().catch(() => ({ assistants: [] }));
    titles.clear();
    for (const { name, title } of assistants) titles.set(name, title);
    this.#select.replaceChildren(...assistants.map(({ name, title }) => new Option(title, name)));
    const several = assistants.length > 1 && !setAssistant;
    this.#select.parentElement.hidden = !several;
    document.body.classList.toggle("several", several);
  }

  /**
   * Shows the choice of a conversation.
   * @param {string | null} thread null: a new one
   * @param {string} [next] whom the gateway asks next there
   */
  show(thread, next) {
    const kept = JSON.parse(passing.get("assistant") ?? "null");
    this.#thread = thread;
    this.#wish = kept && kept.thread === thread ? kept.name : thread ? null : setAssistant;
    const shown = this.#wish ?? next;
    if (shown && titles.has(shown)) this.#select.value = shown;
    else this.#select.selectedIndex = 0;
  }

  /** Forgets the choice that a message made: the gateway has it now, or refused it. */
  forget(name) {
    if (name && name === this.#wish) passing.remove("assistant");
  }
}
