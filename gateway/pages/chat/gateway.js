// The client of the gateway's API: POST /chat and the related routes.

import { sentence } from "./sentences.js";
import { events } from "./sse.js";

const SILENCE = 12_000; // milliseconds; more than twice the gateway's longest pause in a stream
const EVENTS = "text/event-stream";
const PATIENCE = 30_000;
const PATIENCE_FOR_FILES = 600_000;

/** An error with a message for the user. */
export class Problem extends Error {
  /**
   * @param {number} status 0: no answer came at all
   * @param {number} wait seconds until it makes sense to try again
   */
  constructor(code, message, { status = 0, wait = 0 } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.wait = wait;
  }

  /** Whether the same request may succeed later. */
  get passes() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** A connection that failed: it is not known whether the request arrived. */
export function lost() {
  const why = navigator.onLine ? sentence("The gateway cannot be reached.") : sentence("You are offline.");
  return new Problem("lost", sentence("{why} Your message may not have arrived; trying again never sends it twice.", { why }));
}

export class Gateway {
  #askKey;

  /** @param {(refused: boolean) => Promise<string>} askKey called when the gateway requires a key */
  constructor(key, askKey) {
    this.key = key;
    this.#askKey = askKey;
  }

  /** Sends a message and yields the name and the data of each event of the reply. */
  say(asked, signal) {
    return this.#events((both) => this.#post(asked, { Accept: EVENTS }, both), signal, asked.files.length ? PATIENCE_FOR_FILES : SILENCE);
  }

  /** Yields the events of a turn that runs already: the text so far first. */
  watch(id, signal) {
    return this.#events((both) => this.#call(`chat/turns/${id}`, { headers: { Accept: EVENTS }, signal: both }), signal);
  }

  /** @param {number} patience how long the answer may take to begin, in milliseconds */
  async *#events(request, signal, patience = SILENCE) {
    const watch = new AbortController();
    const both = AbortSignal.any([signal, watch.signal]);
    let timer = 0;
    const still = () => clearTimeout(timer);
    const alive = (most = SILENCE) => {
      still();
      timer = setTimeout(() => watch.abort(), most);
    };
    try {
      const response = await this.#withKey(() => {
        alive(patience);
        return request(both).finally(still);
      });
      alive();
      yield* events(response.body, () => alive());
    } catch (error) {
      throw error instanceof Problem ? error : lost();
    } finally {
      still();
    }
  }

  /** Sends a message without waiting for the reply. */
  accept(asked) {
    return this.#json((signal) => this.#post(asked, { Prefer: "respond-async" }, signal), asked.files.length ? PATIENCE_FOR_FILES : PATIENCE);
  }

  assistants() {
    return this.#json((signal) => this.#call("chat/assistants", { signal }));
  }

  turn(id, signal) {
    return this.#json((patience) => this.#call(`chat/turns/${id}`, { signal: AbortSignal.any([signal, patience]) }));
  }

  cancel(id) {
    return this.#json((signal) => this.#call(`chat/turns/${id}/cancel`, { method: "POST", signal }));
  }

  /** Approves or denies a call of a tool, as it was shown. */
  decide({ approval_id: id, digest }, approves) {
    const body = JSON.stringify({ decision: approves ? "approve" : "deny", digest });
    const request = { method: "POST", headers: { "Content-Type": "application/json" }, body };
    return this.#json((signal) => this.#call(`chat/approvals/${id}`, { ...request, signal }));
  }

  async rate(id, value) {
    const request = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ value }) };
    await this.#withKey(() => this.#call(`chat/turns/${id}/feedback`, { ...request, signal: AbortSignal.timeout(PATIENCE) }));
  }

  async forget(id) {
    const request = () => ({ method: "DELETE", signal: AbortSignal.timeout(PATIENCE) });
    await this.#withKey(() => this.#call(`chat/threads/${encodeURIComponent(id)}`, request()));
  }

  thread(id) {
    return this.#json((signal) => this.#call(`chat/threads/${encodeURIComponent(id)}`, { signal }));
  }

  /** Returns the content of a file of a reply. */
  async file(id) {
    const response = await this.#withKey(() => this.#call(`chat/files/${id}`, { signal: AbortSignal.timeout(PATIENCE_FOR_FILES) }));
    return response.blob().catch(() => { throw lost(); });
  }

  /** Returns whether a key is valid, by requesting a turn that cannot exist. */
  async takes(key) {
    const response = await send("chat/turns/none", { headers: { Authorization: `Bearer ${key}` } });
    return response.status !== 401;
  }

  #post(asked, headers, signal) {
    const { message, thread, assistant, key } = asked;
    const fields = { message, ...(thread && { thread_id: thread }), ...(assistant && { assistant }) };
    const isForm = asked.files.length > 0; // its Content-Type is set by the browser, which knows the boundary
    const body = isForm ? form(fields, asked.files) : JSON.stringify(fields);
    headers = { ...headers, ...(!isForm && { "Content-Type": "application/json" }), "Idempotency-Key": key };
    return this.#call("chat", { method: "POST", headers, body, signal });
  }

  /** Returns the gateway's response. The time limit starts again after a key was entered. */
  async #json(attempt, patience = PATIENCE) {
    const response = await this.#withKey(() => attempt(AbortSignal.timeout(patience)));
    return response.json().catch(() => { throw lost(); });
  }

  /** Asks the user for a key until the gateway accepts it. */
  async #withKey(attempt) {
    for (;;) {
      try {
        return await attempt();
      } catch (problem) {
        if (problem.code !== "unauthorized") throw problem;
        this.key = await this.#askKey(Boolean(this.key));
      }
    }
  }

  /** Returns the response if its status is a success. Throws Problem. */
  async #call(path, request) {
    const headers = this.key ? { ...request.headers, Authorization: `Bearer ${this.key}` } : request.headers;
    const response = await send(path, { ...request, headers });
    if (!response.ok) throw await read(response);
    return response;
  }
}

function form(fields, files) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  for (const file of files) data.append("files", file);
  return data;
}

async function send(path, request) {
  try {
    return await fetch(path, { ...request, cache: "no-store" });
  } catch {
    throw lost();
  }
}

async function read(response) {
  const { status } = response;
  const wait = Number(response.headers.get("Retry-After")) || 0;
  const answer = await response.json().catch(() => null); // it may be a proxy's error page
  if (!answer?.error) return new Problem("unreadable", sentence("The gateway did not answer ({status}). Please try again.", { status }), { status, wait });
  return new Problem(answer.error.code, answer.error.message, { status, wait });
}
