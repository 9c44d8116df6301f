// The buttons that copy a reply or a code block.

import { sentence } from "./sentences.js";

const SHOWN = 1500;

export function copyOnClick(lines) {
  lines.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const words = button.querySelector("span");
    words.textContent = (await copy(textOf(button))) ? sentence("Copied") : sentence("Not allowed here");
    setTimeout(() => { words.textContent = sentence("Copy"); }, SHOWN);
  });
}

function textOf(button) {
  const code = button.closest(".code");
  return code ? code.querySelector("pre").textContent : button.closest(".reply").reply.text;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOldWay(text); // on pages without https, and in frames without the permission
  }
}

function copyOldWay(text) {
  const before = document.activeElement;
  const box = document.createElement("textarea");
  box.value = text;
  box.className = "unseen";
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  before?.focus();
  return done;
}
