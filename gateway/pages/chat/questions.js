// Questions about calls of tools that somebody has to approve, inside the reply that waits for them.

import { sentence } from "./sentences.js";

const HIDDEN = /[^\n\P{C}]|[\u2028\u2029]/gu; // what is invisible, or changes how other characters are shown
const clone = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/** The arguments as lines, with what is invisible escaped. Shown as text, never as markup. */
function readable(json) {
  let text = json;
  try {
    text = JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    // it is shown as it is
  }
  return text.replaceAll(HIDDEN, (found) => [...found].map(escaped).join(""));
}

function escaped(character) {
  return Array.from({ length: character.length }, (_, place) => `\\u${character.charCodeAt(place).toString(16).padStart(4, "0")}`).join("");
}

/**
 * Shows a question, or what was decided in the place of its buttons.
 *
 * @param {Element} place where questions are
 * @param {{approval_id: string, tool: string, arguments: string, decision: string | null, decided_by: string | null}} asked
 * @param {(approves: boolean) => Promise<object>} decide returns the question as it is then; throws Problem
 */
export function showQuestion(place, asked, decide) {
  const known = [...place.children].find((one) => one.dataset.id === asked.approval_id);
  const box = known ?? clone("question-template");
  if (!known) {
    box.dataset.id = asked.approval_id;
    box.querySelector(".asks").textContent = sentence("May the assistant call {tool} with this?", { tool: asked.tool });
    box.querySelector("code").textContent = readable(asked.arguments);
    place.append(box);
  }
  const buttons = box.querySelector(".buttons");
  buttons.hidden = asked.decision !== null;
  box.querySelector(".decided").textContent = decided(asked);
  for (const [name, approves] of [["approve", true], ["deny", false]]) {
    buttons.querySelector(`.${name}`).onclick = () => settle(box, asked, place, decide, approves);
  }
}

async function settle(box, asked, place, decide, approves) {
  const buttons = [...box.querySelectorAll("button")];
  buttons.forEach((button) => { button.disabled = true; });
  try {
    showQuestion(place, await decide(approves), decide);
  } catch (problem) {
    box.querySelector(".decided").textContent = problem.message;
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
  }
}

function decided({ decision, decided_by: name }) {
  switch (decision) {
    case null: return "";
    case "approved": return name ? sentence("Approved by {name}.", { name }) : sentence("Approved.");
    case "denied": return name ? sentence("Denied by {name}.", { name }) : sentence("Denied.");
    case "expired": return sentence("Nobody has decided in time. It is not carried out.");
    default: return sentence("Cancelled. It is not carried out.");
  }
}
