// Task lists and footnotes, which markdown-it does not read itself.

import { sentence } from "./sentences.js";

const TASK = /^\[([ xX])\][ \t]+(?=\S)/;
const NOTE = /^\[\^([^\s[\]^]{1,60})\]:[ \t]*/;
const REFERENCE = /\[\^([^\s[\]^]{1,60})\]/y;
const INDENT = 4; // of the further lines of a footnote

/** Gives a new markdown-it the rules. Footnotes stay where they were written. */
export function readItems(markdown) {
  const { block, inline, core, renderer, utils } = markdown;
  const mark = (tokens, index) => `<sup>${utils.escapeHtml(tokens[index].content)}</sup>`;
  block.ruler.before("reference", "note", takeNote, { alt: ["paragraph"] });
  inline.ruler.before("link", "reference", takeReference);
  core.ruler.after("inline", "tasks", takeTasks);
  renderer.rules.task = (tokens, index) => `<span class="task${tokens[index].meta ? " done" : ""}"></span>`;
  renderer.rules.note_mark = mark;
  renderer.rules.reference = mark;
}

/** Says in words which tasks are done. */
export function labelTasks(nodes) {
  for (const task of nodes.querySelectorAll(".task")) {
    task.setAttribute("role", "img");
    task.setAttribute("aria-label", task.classList.contains("done") ? sentence("Done:") : sentence("To do:"));
    task.closest("li").classList.add("with-task");
  }
}

function takeTasks(state) {
  state.tokens.forEach((item, at) => {
    const text = state.tokens[at + 2];
    const found = item.type === "list_item_open" && text?.type === "inline" && TASK.exec(text.content);
    const first = text?.children?.[0];
    if (!found || first.type !== "text" || !first.content.startsWith(found[0])) return;
    first.content = first.content.slice(found[0].length);
    text.children.unshift(Object.assign(new state.Token("task", "span", 0), { meta: found[1] !== " " }));
  });
}

function takeNote(state, start, most, silent) {
  const { bMarks, tShift, sCount, eMarks, blkIndent } = state;
  const begin = bMarks[start] + tShift[start];
  const found = NOTE.exec(state.src.slice(begin, eMarks[start]));
  if (!found || sCount[start] - blkIndent >= INDENT) return false;
  if (silent) return true;
  (state.env.notes ??= new Set()).add(found[1]);
  state.push("note_open", "div", 1).attrSet("class", "note");
  state.push("note_mark", "sup", 0).content = found[1];
  state.push("note_body_open", "div", 1);
  const kept = [bMarks[start], tShift[start], sCount[start]];
  [bMarks[start], tShift[start], sCount[start]] = [begin + found[0].length, 0, blkIndent + INDENT];
  state.blkIndent += INDENT;
  state.md.block.tokenize(state, start, most, true);
  state.blkIndent = blkIndent;
  [bMarks[start], tShift[start], sCount[start]] = kept;
  state.push("note_body_close", "div", -1);
  state.push("note_close", "div", -1);
  return true;
}

/** A reference without its footnote stands as it was written: it may be part of a regular expression. */
function takeReference(state, silent) {
  REFERENCE.lastIndex = state.pos;
  const found = REFERENCE.exec(state.src);
  if (!found || !state.env.notes?.has(found[1])) return false;
  if (!silent) state.push("reference", "sup", 0).content = found[1];
  state.pos += found[0].length;
  return true;
}
