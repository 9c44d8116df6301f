// The page around the messages: empty and loading states, busy state, notices, and text for screen readers.

import { Reply, said } from "./lines.js";
import { sentence } from "./sentences.js";

const OFFLINE = sentence("You are offline. Messages can be sent when you are back.");
const SPOKEN_AT_MOST = 1500;
const find = (id) => document.getElementById(id);

export class View {
  #lines = find("lines");
  #composer;
  #scroll;

  constructor(composer, scroll) {
    this.#composer = composer;
    this.#scroll = scroll;
  }

  // -------------------------------------------------------------- messages

  /** @returns {Reply} the pending reply */
  ask(message, files = []) {
    for (const button of this.#lines.querySelectorAll(".problem button")) button.hidden = true; // they no longer apply
    this.said(message, files.map((file) => file.name)).files = files;
    this.#scroll.toEnd();
    return this.expectReply();
  }

  askAgain(reply) {
    const fresh = new Reply();
    reply.line.replaceWith(fresh.line);
    return fresh;
  }

  expectReply() {
    return this.#append(new Reply());
  }

  said(message, attached = [], remark = "") {
    find("empty").hidden = true;
    const line = said(message, attached);
    this.#lines.append(line);
    if (remark) this.#append(new Reply()).end(remark);
    return line;
  }

  /** @param {{text: string, turn_id: string, assistant: string, stopped: boolean, files: object[]}} line of a transcript */
  replied(line) {
    find("empty").hidden = true;
    const reply = this.#append(new Reply());
    reply.turn = line.turn_id;
    reply.from(line.assistant);
    reply.finish(line.text, line.files);
    if (line.stopped) reply.end(sentence("Stopped."));
  }

  /** Renders all replies again. */
  redraw() {
    for (const line of this.#lines.querySelectorAll(".reply")) line.reply.redraw();
  }

  /** Puts a message back into the message box. */
  edit(message, files, reply) {
    reply.line.previousElementSibling?.remove();
    reply.line.remove();
    this.#composer.put(message, files);
    find("empty").hidden = this.#lines.childElementCount > 0;
  }

  #append(reply) {
    this.#lines.append(reply.line);
    return reply;
  }

  // -------------------------------------------------------------- around the messages

  /** @param {boolean} canGoBack whether there is a previous conversation */
  clear(canGoBack) {
    this.#lines.replaceChildren();
    find("empty").hidden = false;
    find("back").hidden = !canGoBack;
    this.#composer.focus();
    this.speak(sentence("A new conversation."));
  }

  loading(busy) {
    if (busy) this.#lines.replaceChildren();
    this.#lines.setAttribute("aria-busy", busy);
    find("loading").hidden = !busy;
    find("empty").hidden = busy || this.#lines.childElementCount > 0;
    this.#scroll.toEnd();
  }

  unreadable(problem, again) {
    this.#append(new Reply()).fail({ message: sentence("The conversation could not be fetched. {why}", { why: problem.message }), wait: problem.wait }, { again });
  }

  busy(busy) {
    this.#composer.busy(busy);
    if (busy) this.speak(sentence("The reply is being written."));
  }

  /** Says who answers from now on in a conversation that has begun. */
  passOn(title) {
    this.notice(sentence("From now on, {name} answers here. It knows what was said before.", { name: title }));
    this.#composer.focus();
  }

  tellToWait() {
    this.notice(sentence("The reply is still being written. Your message stays here: send it when the reply is complete, or press Esc to stop the reply."));
  }

  stopping() {
    this.#composer.stopping();
  }

  /** @param {string} words empty hides the notice, unless the browser is offline */
  notice(words) {
    words ||= navigator.onLine ? "" : OFFLINE;
    const place = find("notice");
    if (place.textContent !== words) place.textContent = words;
    place.hidden = !words;
  }

  /** Announces the text once to screen readers. */
  speak(words) {
    find("spoken").textContent = words.length > SPOKEN_AT_MOST ? `${words.slice(0, SPOKEN_AT_MOST)} … ${sentence("The reply continues.")}` : words;
  }
}
