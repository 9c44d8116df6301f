// Stores data in the browser. Where storage is denied, as in some frames, data is kept until the page is left.

const PREFIX = "chat.";

class Shelf {
  #spare = new Map();
  #storage;

  /** @param {() => Storage} storage may throw */
  constructor(storage) {
    this.#storage = storage;
  }

  /** @returns {string | null} */
  get(name) {
    return this.#try((storage) => storage.getItem(PREFIX + name)) ?? this.#spare.get(name) ?? null;
  }

  set(name, value) {
    this.#spare.delete(name);
    const stored = this.#try((storage) => { storage.setItem(PREFIX + name, value); return true; });
    if (!stored) this.#spare.set(name, value);
  }

  remove(name) {
    this.#spare.delete(name);
    this.#try((storage) => storage.removeItem(PREFIX + name));
  }

  #try(work) {
    try {
      return work(this.#storage());
    } catch {
      return null;
    }
  }
}

/** Kept permanently, shared by all tabs. */
export const lasting = new Shelf(() => window.localStorage);
/** Kept until this tab is closed. */
export const passing = new Shelf(() => window.sessionStorage);
