// Renders a model's Markdown to inert nodes: no script, no style, nothing loaded from other sites.

import { labelTasks, readItems } from "./items.js";
import { library } from "./libraries.js";
import { typeset } from "./maths.js";
import { readAsMeant } from "./reading.js";
import { sentence } from "./sentences.js";
import { withWholeRows } from "./tables.js";

const { DOMPurify, markdownit } = globalThis;

const SAFE = /^(https?:\/\/|mailto:)/i;
const READ_AS_A_WHOLE = "p, h3, h4, h5, h6, th, td";
const WITH_PARTS = "ul, ol, blockquote, table"; // dir="auto" would not look into their parts, which have it themselves
const FROM_THE_RIGHT = /^\P{L}*[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Nko}\p{Script=Syriac}\p{Script=Thaana}]/u;
const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span", "strong", "sup",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "class", "start", "value"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: SAFE,
  ADD_URI_SAFE_ATTR: ["start"], // no address; without this it would have to look like one
  RETURN_DOM_FRAGMENT: true,
};
const COLOURED = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };
const LONGEST_COLOURED = 20_000; // characters; a block is coloured again with each piece of a reply that arrives

const markdown = markdownit({ html: false, linkify: true, breaks: true });
readAsMeant(markdown);
readItems(markdown);
markdown.validateLink = (address) => SAFE.test(address);
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
markdown.core.ruler.push("page", (state) => state.tokens.forEach(fit));

// Loading an image would send data in its URL to a foreign server. So an image becomes a link that the reader may open.
markdown.renderer.rules.image = (tokens, index, options, env, renderer) => {
  const { escapeHtml } = markdown.utils;
  const words = renderer.renderInlineAsText(tokens[index].children ?? [], options, env) || "without a description";
  return `<a href="${escapeHtml(tokens[index].attrGet("src"))}">Image: ${escapeHtml(words)}</a>`;
};

markdown.renderer.rules.formula = (tokens, index) => `<span class="formula">${markdown.utils.escapeHtml(tokens[index].content)}</span>`;

/** Lowers headings below the page's own; aligns columns by a class, as the page's policy refuses style attributes. */
function fit(token) {
  if (token.type.startsWith("heading_")) token.tag = `h${Math.min(6, Number(token.tag[1]) + 2)}`;
  const align = /^text-align:(left|center|right)$/.exec(token.attrGet("style") ?? "");
  if (align) token.attrs = [["class", align[1]]];
}

/** @returns {DocumentFragment} */
export function render(text) {
  const nodes = DOMPurify.sanitize(toHtml(text), ALLOWED);
  nodes.querySelectorAll("a").forEach(mendLink);
  nodes.querySelectorAll("pre").forEach(frameCode);
  nodes.querySelectorAll("table").forEach(frameTable);
  typeset(nodes);
  nodes.querySelectorAll(".formula.display").forEach((formula) => makeScrollable(formula, sentence("Formula")));
  labelTasks(nodes);
  nodes.querySelectorAll(READ_AS_A_WHOLE).forEach((block) => { block.dir = "auto"; });
  nodes.querySelectorAll(WITH_PARTS).forEach((block) => { block.dir = FROM_THE_RIGHT.test(block.textContent) ? "rtl" : "ltr"; });
  return nodes;
}

function toHtml(text) {
  const lines = text.replaceAll(/\r\n?/g, "\n");
  const tokens = markdown.parse(lines, {});
  const whole = withWholeRows(lines, tokens);
  return whole === lines ? markdown.renderer.render(tokens, markdown.options, {}) : markdown.render(whole);
}

function mendLink(link) {
  const address = link.getAttribute("href") ?? "";
  if (!SAFE.test(address)) {
    link.replaceWith(...link.childNodes);
    return;
  }
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  if (link.textContent !== address) link.title = address; // so that the link's text cannot hide its target
}

function frameCode(block) {
  const frame = document.getElementById("code-template").content.cloneNode(true);
  const language = /(?:^|\s)language-([\w+#.-]{1,30})/.exec(block.firstElementChild?.className ?? "")?.[1] ?? "";
  frame.querySelector("figcaption span").textContent = language;
  const figure = frame.firstElementChild;
  block.replaceWith(frame);
  figure.append(block);
  block.dir = "ltr";
  makeScrollable(block, language ? sentence("Code in {language}", { language }) : sentence("Code"));
  if (language) highlight(block.firstElementChild, language);
}

/** Colours code whose language the library knows, once it is there. */
function highlight(code, language) {
  if (code.textContent.length > LONGEST_COLOURED) return;
  const highlighter = library("highlight");
  if (!highlighter?.getLanguage(language)) return;
  const { value } = highlighter.highlight(code.textContent, { language, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, COLOURED));
}

function frameTable(table) {
  const frame = document.createElement("div");
  frame.className = "table";
  table.replaceWith(frame);
  frame.append(table);
  makeScrollable(frame, sentence("Table"));
}

/** Lets the keyboard scroll in it. */
function makeScrollable(node, label) {
  node.tabIndex = 0;
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", label);
}
