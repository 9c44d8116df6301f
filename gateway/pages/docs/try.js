// Tries the routes of the gateway from their documentation: sends what a form says, and shows the answer as it arrives.

import { passing } from "../chat/memory.js";

const KEY = "key"; // as the chat page keeps it
const SHOWN_HEADERS = ["Content-Type", "Location", "Preference-Applied", "Retry-After", "WWW-Authenticate", "Content-Disposition"];
const ROOT = new URL(".", document.baseURI);
const TEXT = /^text\/|[/+]json\b/;

const key = document.getElementById("key");

/** What a form asks for, as arguments of fetch. */
function request(form) {
  const headers = new Headers();
  if (key.value.trim()) headers.set("Authorization", `Bearer ${key.value.trim()}`);
  const query = new URLSearchParams();
  const body = {};
  const files = [];
  let path = form.dataset.path;
  for (const field of form.querySelectorAll(".field")) {
    const { name, place, kind } = field.dataset;
    const input = field.querySelector("input, select, textarea");
    if (kind === "files") files.push(...input.files);
    else if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value === "") continue; // left out
    else if (place === "query") query.set(name, input.value);
    else if (place === "header") headers.set(name, input.value);
    else body[name] = kind === "text" || kind === "long" ? input.value : json(name, input.value);
  }
  const url = new URL(`.${path}`, ROOT);
  url.search = query;
  return [url, { method: form.dataset.method, headers, body: content(form, headers, body, files) }];
}

/** The body: JSON, or a form if there are files. */
function content(form, headers, body, files) {
  if (!form.querySelector("[data-place=body]")) return undefined;
  if (!files.length) {
    headers.set("Content-Type", "application/json");
    return JSON.stringify(body);
  }
  const parts = new FormData();
  for (const [name, value] of Object.entries(body)) parts.set(name, String(value));
  for (const file of files) parts.append("files", file, file.name);
  return parts;
}

function json(name, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${name} is not JSON.`);
  }
}

/** Shows what became of one request in its form. */
class Answer {
  #find;
  #link = "";

  constructor(form) {
    this.#find = (selector) => form.querySelector(selector);
  }

  begin() {
    this.say("Sending …");
    URL.revokeObjectURL(this.#link);
    this.#find(".answer").textContent = "";
    for (const part of [".headers", ".answer", ".save"]) this.#find(part).hidden = true;
  }

  say(words, tone = "") {
    const status = this.#find(".status");
    status.dataset.tone = tone;
    status.textContent = words;
  }

  async show(response) {
    this.say(`${response.status} ${response.statusText}`, response.ok ? "good" : "bad");
    this.#showHeaders(response.headers);
    const type = response.headers.get("Content-Type") ?? "";
    if (!response.body || response.status === 204) return;
    if (type.includes("json")) this.#add(pretty(await response.text()));
    else if (TEXT.test(type)) await this.#follow(response.body);
    else this.#offer(await response.blob(), response.headers.get("Content-Disposition") ?? "");
  }

  #showHeaders(headers) {
    const there = SHOWN_HEADERS.filter((name) => headers.has(name));
    const list = this.#find(".headers");
    list.replaceChildren(...there.flatMap((name) => [element("dt", name), element("dd", headers.get(name))]));
    list.hidden = !there.length;
  }

  async #follow(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.#add(value);
    }
  }

  #add(text) {
    const place = this.#find(".answer");
    place.hidden = false;
    place.append(text);
    place.scrollTop = place.scrollHeight;
  }

  #offer(blob, disposition) {
    this.#link = URL.createObjectURL(blob);
    const link = this.#find(".save a");
    link.href = this.#link;
    link.download = /filename="([^"]+)"/.exec(disposition)?.[1] ?? "file";
    this.#find(".save").hidden = false;
  }
}

function element(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function prepare(form) {
  const answer = new Answer(form);
  const stop = form.querySelector(".stop");
  let running = null;
  stop.addEventListener("click", () => running?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return;
    answer.begin();
    let asked;
    try {
      asked = request(form);
    } catch (error) {
      answer.say(error.message, "bad"); // a value that no request can have
      return;
    }
    running = new AbortController();
    stop.hidden = false;
    try {
      const [url, options] = asked;
      await answer.show(await fetch(url, { ...options, signal: running.signal }));
    } catch (error) {
      answer.say(why(error), "bad");
    } finally {
      running = null;
      if (document.activeElement === stop) form.querySelector("[type=submit]").focus();
      stop.hidden = true;
    }
  });
}

function why(error) {
  return error.name === "AbortError" ? "Stopped." : "The gateway cannot be reached, or the answer broke off.";
}

key.value = passing.get(KEY) ?? "";
key.addEventListener("input", () => (key.value.trim() ? passing.set(KEY, key.value.trim()) : passing.remove(KEY)));
document.querySelectorAll(".try form").forEach(prepare);
document.querySelectorAll(".try, #your-key").forEach((part) => { part.hidden = false; });
