// The conversation: sends messages, receives replies, and recovers from failures.

import * as conversations from "./conversations.js";
import { Problem } from "./gateway.js";
import { lasting, passing } from "./memory.js";
import { sentence } from "./sentences.js";
import * as unsent from "./unsent.js";

const FIRST_PAUSE = 400;
const LONGEST_PAUSE = 3000;
const INTERRUPTED = sentence("The connection was lost. Your message has arrived; the reply goes on as soon as possible.");
const NOT_AS_IT_IS = [400, 413, 415];

/**
 * A message being sent. `key` is its idempotency key, so that it is never answered twice; `turn` is null until the
 * gateway has confirmed it.
 */
const ask = (message, files, thread, assistant = null) => ({ message, files, thread, assistant, key: newKey(), at: Date.now(), turn: null });

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID exists on secure pages only
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Talk {
  #gateway;
  #view;
  #assistants;
  #work = null;
  #asked = null;
  #stopping = false;
  #before = null;
  #thread = null;
  /** Tells the other tabs of this browser in which conversation something was said. */
  #tabs = new BroadcastChannel("chat");
  #isStale = false;
  #waiting = null;

  constructor(gateway, view, assistants) {
    this.#gateway = gateway;
    this.#view = view;
    this.#assistants = assistants;
  }

  get busy() {
    return this.#work !== null;
  }

  /** The conversation of this tab; null before its first message. */
  get thread() {
    return this.#thread;
  }

  /** Also remembers it for this tab, and for tabs that are opened later. */
  set thread(id) {
    this.#thread = id;
    passing.set("thread", id ?? "");
    if (id) lasting.set("thread", id);
    else lasting.remove("thread");
  }

  /** Resumes the conversation of this tab, else the last one of this browser. */
  async begin() {
    this.#thread = (passing.get("thread") ?? lasting.get("thread")) || null;
    this.#tabs.addEventListener("message", ({ data }) => this.#heardOf(data));
    this.#assistants.show(this.thread);
    const asked = await unsent.recall();
    let problem = null;
    if (asked) {
      // The page was left before the gateway confirmed the message.
      this.#view.notice(sentence("Your message is being sent …"));
      await this.#gateway.accept(asked).then((accepted) => this.#arrived(asked, accepted), (refusal) => { problem = refusal; });
    }
    if (this.thread) await this.#load(this.thread);
    if (problem) this.#failed(asked, this.#view.ask(asked.message, asked.files), problem);
  }

  say(message, files = []) {
    this.#before = null;
    return this.#do(ask(message, files, this.thread, this.#assistants.wish), this.#view.ask(message, files), this.#hear);
  }

  /** Stops the reply in progress. */
  async stop() {
    if (!this.busy || this.#stopping) return;
    this.#stopping = true;
    this.#view.stopping();
    if (this.#asked.turn) await this.#cancel(this.#asked);
  }

  /** Starts a new conversation. A reply in progress continues in its own thread. */
  renew() {
    this.#leave();
    this.#before = this.thread ?? this.#before;
    this.#beginAnew();
    unsent.drop();
    this.#view.clear(Boolean(this.#before));
  }

  /** Returns to the previous conversation. */
  async goBack() {
    this.#leave();
    if (!this.#before) return;
    this.thread = this.#before;
    this.#before = null;
    await this.#load(this.thread);
  }

  /** Shows another conversation. A reply in progress continues in its own thread. */
  async open(id) {
    this.#leave();
    unsent.drop();
    this.thread = id;
    this.#before = null;
    await this.#load(id);
  }

  /** Deletes a conversation here, at the gateway and at its backend. Throws Problem. */
  async remove(id) {
    await this.#gateway.forget(id).catch((problem) => { if (problem.status !== 404) throw problem; });
    if (this.#before === id) this.#before = null;
    if (this.thread !== id) return;
    this.#before = null;
    this.thread = null;
    this.renew();
  }

  /** Tells the gateway what the person thinks of a reply. */
  async rate(reply, value) {
    try {
      await this.#gateway.rate(reply.turn, value);
      reply.rated(value);
      this.#view.speak(sentence("Thank you for the feedback."));
    } catch (problem) {
      this.#view.notice(sentence("The feedback was not sent. {why}", { why: problem.message }));
    }
  }

  // -------------------------------------------------------------- a message and its reply

  async #do(asked, reply, how) {
    this.#leave();
    const work = new AbortController();
    [this.#work, this.#asked, this.#stopping] = [work, asked, false];
    this.#view.busy(true);
    reply.expect();
    try {
      const { response, files, assistant, handedOver } = await how.call(this, asked, reply, work.signal);
      if (handedOver) {
        this.#isStale = true; // a person may have answered meanwhile
      } else {
        reply.from(assistant);
        reply.finish(response, files);
      }
      this.#view.speak(reply.spoken);
    } catch (problem) {
      if (!work.signal.aborted) this.#failed(asked, reply, known(problem));
    } finally {
      if (this.#work === work) {
        this.#done();
        if (this.#isStale) this.#heardOf(this.thread);
      }
    }
  }

  #beginAnew() {
    this.thread = null;
    this.#assistants.show(null);
  }

  #leave() {
    this.#waiting?.abort();
    this.#done();
  }

  #done() {
    this.#work?.abort();
    [this.#work, this.#asked] = [null, null];
    this.#view.busy(false);
    this.#view.notice("");
  }

  /** Shows what was said in another tab, once nothing is on its way in this one. */
  #heardOf(thread) {
    if (thread !== this.thread) return;
    this.#isStale = this.busy;
    if (!this.busy) this.#load(thread);
  }

  /** Sends the message and follows the reply. Once the gateway has confirmed it, a failure only interrupts following. */
  async #hear(asked, reply, signal) {
    if (!asked.turn) await unsent.keep(asked);
    try {
      return await this.#listen(this.#gateway.say(asked, signal), asked, reply);
    } catch (problem) {
      if (!asked.turn || signal.aborted) throw problem;
      if (problem.code === "lost") this.#view.notice(INTERRUPTED);
    }
    return this.#follow(asked, reply, signal);
  }

  /** Shows the events of a stream. One that continues another begins with all the text so far. */
  async #listen(events, asked, reply) {
    let isFirst = true;
    for await (const [name, data] of events) {
      if (name === "turn") {
        this.#arrived(asked, data);
        reply.turn = data.turn_id;
        reply.from(data.assistant);
      } else if (name === "delta") {
        if (isFirst) reply.restart();
        isFirst = false;
        reply.add(data.text);
      }
      else if (name === "tool") reply.use(data.name);
      else if (name === "approval") reply.ask(data, (approves) => this.#gateway.decide(data, approves));
      else if (name === "done") return data;
      else if (name === "handed_over") return { handedOver: true };
      else if (name === "error") {
        throw new Problem(data.error.code, data.error.message, { status: data.status, wait: data.retry_after ?? 0 });
      }
    }
    throw new Problem("lost", sentence("The connection was lost."));
  }

  #arrived(asked, accepted) {
    asked.turn = accepted.turn_id;
    asked.thread = accepted.thread_id;
    this.thread = accepted.thread_id;
    conversations.note(accepted.thread_id, asked.message || asked.files[0]?.name, accepted.assistant);
    unsent.drop();
    this.#assistants.forget(asked.assistant);
    this.#assistants.show(accepted.thread_id, accepted.assistant);
    this.#tabs.postMessage(accepted.thread_id);
    this.#view.notice("");
    if (this.#stopping) this.#cancel(asked);
  }

  /** Follows the turn until it has ended, however long that takes and however often the connection breaks. */
  async #follow(asked, reply, signal) {
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 1.5, LONGEST_PAUSE)) {
      const turn = await this.#look(asked.turn, signal);
      if (turn?.error) throw new Problem(turn.error.code, turn.error.message, { status: 502 });
      if (typeof turn?.response === "string") return turn;
      if (turn?.handed_over) return { handedOver: true };
      if (turn) {
        try {
          return await this.#listen(this.#gateway.watch(asked.turn, signal), asked, reply);
        } catch (problem) {
          if (signal.aborted) throw problem;
          if (problem.code === "lost") this.#view.notice(INTERRUPTED);
        }
      }
      await rest(pause, signal);
    }
  }

  async #look(id, signal) {
    try {
      const turn = await this.#gateway.turn(id, signal);
      this.#view.notice("");
      return turn;
    } catch (problem) {
      if (signal.aborted || !problem.passes) throw problem;
      this.#view.notice(INTERRUPTED);
      return null;
    }
  }

  async #cancel(asked) {
    try {
      await this.#gateway.cancel(asked.turn);
    } catch (problem) {
      if (problem.code === "turn_finished") return; // its reply is already coming
      this.#stopping = false;
      this.#view.busy(this.busy);
      this.#view.notice(sentence("The reply could not be stopped. {why}", { why: problem.message }));
    }
  }

  /** Shows the conversation anew once something was said after a turn, until the assistant answers. */
  async #awaitPerson(id, newest) {
    this.#waiting?.abort();
    const { signal } = (this.#waiting = new AbortController());
    for (;;) {
      await rest(LONGEST_PAUSE, signal).catch(() => null);
      const thread = signal.aborted ? null : await this.#gateway.thread(id).catch(() => null);
      if (signal.aborted) return;
      if (!thread || this.busy) continue;
      if (thread.messages.at(-1)?.turn_id !== newest) return void this.#load(id);
      if (!thread.handed_over) return;
    }
  }

  #failed(asked, reply, problem) {
    if (problem.code === "cancelled") {
      reply.end(sentence("Stopped."));
      this.#view.speak(sentence("Stopped."));
      return;
    }
    if (problem.status && !problem.passes) unsent.drop(); // it was refused, so no reply will come
    if (problem.code === "unknown_assistant") this.#assistants.forget(asked.assistant);
    if (problem.code === "thread_not_found") this.#beginAnew();
    const edit = () => this.#view.edit(asked.message, asked.files, reply);
    const again = () => this.#again(asked, reply, problem);
    reply.fail(problem, NOT_AS_IT_IS.includes(problem.status) ? { edit } : { again });
    this.#view.speak(problem.message);
  }

  /** Retries with the same key while it is unknown whether the message arrived; a failed turn is sent as a new one. */
  #again(asked, reply, problem) {
    if (this.busy) return;
    const same = !asked.turn && problem.code !== "thread_not_found";
    this.#do(same ? asked : ask(asked.message, asked.files, this.thread, this.#assistants.wish), this.#view.askAgain(reply), this.#hear);
  }

  // -------------------------------------------------------------- earlier messages

  async #load(id) {
    this.#view.loading(true);
    try {
      const thread = await this.#gateway.thread(id);
      this.#show(thread);
      if (thread.handed_over && !this.busy) this.#awaitPerson(id, thread.messages.at(-1)?.turn_id);
    } catch (problem) {
      if (problem.status !== 404) {
        this.#view.unreadable(problem, () => this.#load(id));
        return;
      }
      this.#beginAnew();
      conversations.forget(id);
      this.#view.notice(sentence("The last conversation is no longer there. This is a new one."));
    } finally {
      this.#view.loading(false);
    }
  }

  #show({ messages: lines, next_assistant: assistant }) {
    this.#assistants.show(this.thread, assistant);
    lines.forEach((line, index) => {
      const next = lines[index + 1];
      if (line.role === "assistant") this.#view.replied(line);
      else if (line.handed_over) this.#view.said(line.text, line.attached, next ? "" : sentence("A person will answer this here."));
      else if (next?.role !== "user") this.#view.said(line.text, line.attached);
      else if (next.text !== line.text) this.#view.said(line.text, line.attached, sentence("No reply."));
      // else: it failed and was retried
    });
    const first = lines.find((line) => line.role === "user");
    if (first) conversations.note(this.thread, first.text || first.attached[0], assistant);
    const last = lines.at(-1);
    if (last?.role !== "user" || last.handed_over) return;
    const asked = { ...ask(last.text, [], this.thread), turn: last.turn_id };
    this.#do(asked, this.#view.expectReply(), this.#follow);
  }
}

/** Returns the error as a Problem, including errors of the page itself. */
function known(problem) {
  if (problem instanceof Problem) return problem;
  console.error(problem);
  return new Problem("broken", sentence("An error occurred in this page. Reload it to see the reply."));
}

/** Waits so many milliseconds, or until the network is back. Throws when aborted. */
function rest(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(end, milliseconds);
    function end() {
      clearTimeout(timer);
      window.removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    }
    window.addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
}
