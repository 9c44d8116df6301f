// Typesets formulas as MathML, which browsers draw and read out themselves.

import { library } from "./libraries.js";

const FORMS = [
  { pattern: /^\$\$(.+)\$\$$/s, display: true },
  { pattern: /^\\\[(.+)\\\]$/s, display: true },
  { pattern: /^(\\begin.+)$/s, display: true },
  { pattern: /^\\\((.+)\\\)$/s, display: false },
  { pattern: /^\$(.+)\$$/s, display: false },
];
const COMMAND = /\\[A-Za-z]+(?:\s*\{[^{}]*\})*/g;
const PROSE = /(?<!\p{L})\p{L}{2,}\s+\p{L}{2,}|^\d[\d.,]*\s+\(?\p{L}{2,}\s/u;
const NEEDS_DATA_IMAGE = /\\cancelto(?![A-Za-z])/; // which the page's Content-Security-Policy refuses
const OPTIONS = { annotate: true, throwOnError: true, trust: false, maxExpand: 300, maxSize: [20, 200], wrap: "tex" };
const MOST_KEPT = 500;
const drawn = new Map();

/** Replaces the formulas within by what they mean, as soon as the library is there. */
export function typeset(nodes) {
  for (const place of nodes.querySelectorAll(".formula")) {
    const source = place.textContent;
    if (!isMeant(source)) continue;
    const temml = library("temml");
    if (!temml) return;
    const formula = drawn.get(source) ?? draw(temml, source);
    if (formula) show(place, formula.cloneNode(true));
  }
}

/** Whether it is a formula, and not an amount of money and another one with words between them. */
function isMeant(source) {
  const isSingle = source.startsWith("$") && !source.startsWith("$$");
  return !(isSingle && PROSE.test(source.slice(1, -1).replace(COMMAND, " "))) && !NEEDS_DATA_IMAGE.test(source);
}

/** Returns the formula, or null if it cannot be read. */
function draw(temml, source) {
  const { pattern, display } = FORMS.find((form) => form.pattern.test(source));
  const frame = document.createElement("span");
  try {
    temml.render(pattern.exec(source)[1], frame, { ...OPTIONS, displayMode: display });
  } catch {
    return null;
  }
  frame.querySelectorAll("[id]").forEach((node) => node.removeAttribute("id")); // \label must not name parts of the page
  frame.className = display ? "display" : "";
  if (drawn.size >= MOST_KEPT) drawn.clear();
  drawn.set(source, frame);
  return frame;
}

function show(place, formula) {
  place.title = place.textContent;
  place.replaceChildren(...formula.childNodes);
  place.dir = "ltr";
  place.classList.add("drawn", ...formula.classList);
}
