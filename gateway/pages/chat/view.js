// Everything of the page around the lines: what is empty, loading, busy, noticed and read out.

import { Reply, said } from "./lines.js";

const OFFLINE = "You are offline. Messages can be sent when you are back.";
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

  // -------------------------------------------------------------- lines

  /** @returns {Reply} what the reply will be */
  ask(message) {
    for (const button of this.#lines.querySelectorAll(".problem button")) button.hidden = true; // too late for these
    this.said(message);
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

  said(message, remark) {
    find("empty").hidden = true;
    this.#lines.append(said(message));
    if (remark) this.#append(new Reply()).end(remark);
  }

  replied(text) {
    find("empty").hidden = true;
    this.#append(new Reply()).finish(text);
  }

  /** Take a message back into the box. */
  edit(message, reply) {
    reply.line.previousElementSibling?.remove();
    reply.line.remove();
    this.#composer.put(message);
    find("empty").hidden = this.#lines.childElementCount > 0;
  }

  #append(reply) {
    this.#lines.append(reply.line);
    return reply;
  }

  // -------------------------------------------------------------- around them

  /** @param {boolean} canGoBack whether there is a conversation before this one */
  clear(canGoBack) {
    this.#lines.replaceChildren();
    find("empty").hidden = false;
    find("back").hidden = !canGoBack;
    this.#composer.focus();
    this.speak("A new conversation.");
  }

  loading(busy) {
    if (busy) this.#lines.replaceChildren();
    this.#lines.setAttribute("aria-busy", busy);
    find("loading").hidden = !busy;
    find("empty").hidden = busy || this.#lines.childElementCount > 0;
    this.#scroll.toEnd();
  }

  unreadable(problem, again) {
    this.#append(new Reply()).fail({ message: `The conversation could not be fetched. ${problem.message}`, wait: problem.wait }, { again });
  }

  busy(busy) {
    this.#composer.busy(busy);
    if (busy) this.speak("The reply is being written.");
  }

  stopping() {
    this.#composer.stopping();
  }

  /** @param {string} words empty: nothing, unless there is no network */
  notice(words) {
    words ||= navigator.onLine ? "" : OFFLINE;
    const place = find("notice");
    if (place.textContent !== words) place.textContent = words;
    place.hidden = !words;
  }

  /** Have a screen reader say it, once. */
  speak(words) {
    find("spoken").textContent = words.length > SPOKEN_AT_MOST ? `${words.slice(0, SPOKEN_AT_MOST)} … The reply goes on.` : words;
  }
}
