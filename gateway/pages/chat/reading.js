// Reads the Markdown of an assistant as adapters/base/markdown/reading.py does, which explains the rules.

import { MARKS, isWord, scan } from "./delimiters.js";

const FORMULAS = {
  $: /\$\$(?:\\.|[^$\\])+?\$\$|(?<![\p{L}\p{N}])\$(?![\s$])(?:\\.|(?!\]\()[^$\n\\`])*?(?<=[^\s\\])\$(?![\p{L}\p{N}$])/suy,
  "\\": /\\\(.+?\\\)|\\\[(?=(?:(?!\\\]).)*?(?:[\s^_=+*/-]|\\(?!\]))).+?\\\](?!\()|\\begin\{(?<name>[A-Za-z]+\*?)\}.*?\\end\{\k<name>\}/suy,
};
const NAME = /__(?![A-Z][a-z])[A-Za-z0-9]+(?:_+[A-Za-z0-9]+)*__(?![A-Za-z0-9])/y;
const GLOB = /\*\*\/(?:[^\s*]*(?:\*[^\s*]+)*\/)?\*{1,2}(?:\.[\w*]+)?(?![\w*])/y;
const URL_REST = /:\/\/(?:(?!\]\()[^\s<>"`\\\u3000-\u303f\uff00-\uff0f\uff1a-\uff20]){1,2000}/y;
const URL_END = /(?:[?!.,:;*_~'|]|&[a-z]+;|([)\]}]))$/;
const SCHEME = /[A-Za-z][A-Za-z0-9+.-]*$/;
const LONGEST_SCHEME = 16;
const LONGEST_WORD = 200;
const ESCAPED = "*_`[]<#~$";
const STANDING = "*_[]<#~$\\";
const ENTITY = /^&#?[\p{L}\p{N}_]{1,32};/u;
const COMMAND = /\\[A-Za-z]/;
const LINE_NUMBER = /(?:^|\n)[0-9]{1,9}$/;
const BARE = /^[A-Za-z0-9_+*^=,-]+(?=\))/;
const ADDRESS = /^(?:[A-Za-z][A-Za-z0-9+.-]*:|[/#]|\.{1,2}\/|www\.)/;
const BREAK = /<br[ \t]*\/?>/iy;
const FORMULA_LINE = /^(?:\$\$|\\\[|\\begin\{[A-Za-z]+\*?\})/;

/** Gives a new markdown-it the rules. */
export function readAsMeant(markdown) {
  const { inline, block, core } = markdown;
  // Their order is part of markdown-it's interface: lib/parser_inline.mjs
  const [, , , escape, , , , link, image] = inline.ruler.getRules("");
  inline.ruler.before("escape", "literal", takeLiteral);
  inline.ruler.before("autolink", "break", takeBreak);
  inline.ruler.at("escape", (state, silent) => takeBackslash(state, silent, escape));
  inline.ruler.at("emphasis", takeMarks);
  inline.ruler.at("link", (state, silent) => takeLink(state, silent, link, state.pos));
  inline.ruler.at("image", (state, silent) => takeLink(state, silent, image, state.pos + 1));
  inline.ruler.disable("strikethrough");
  block.ruler.disable(["reference", "lheading"]);
  block.ruler.before("fence", "formula", takeFormula, { alt: ["paragraph", "blockquote", "list"] });
  core.ruler.push("numbers", giveNumbers);
  core.ruler.push("paragraphs", partParagraphs);
}

// -------------------------------------------------------------- what stands as it was written

function takeLiteral(state, silent) {
  const { pos, src } = state;
  const char = src[pos];
  let end = pos;
  if (char === ":") end = urlEnd(state);
  else if (FORMULAS[char]) end = matched(FORMULAS[char], state);
  else if (char === "_") end = matched(NAME, state);
  else if (char === "*") end = matched(GLOB, state);
  if (end === pos) return false;
  if (!silent && FORMULAS[char]) state.push("formula", "span", 0).content = src.slice(pos, end);
  else if (!silent) state.pending += src.slice(pos, end);
  state.pos = end;
  return true;
}

function matched(pattern, state) {
  pattern.lastIndex = state.pos;
  const found = pattern.exec(state.src);
  return found && pattern.lastIndex <= state.posMax ? pattern.lastIndex : state.pos;
}

/** Where markdown-it finds no link itself, as for an unknown scheme. */
function urlEnd(state) {
  const { pos, src, posMax } = state;
  URL_REST.lastIndex = pos;
  const found = URL_REST.exec(src);
  if (!found || !SCHEME.test(src.slice(Math.max(0, pos - LONGEST_SCHEME), pos))) return pos;
  let url = found[0].slice(0, posMax - pos);
  for (let last; (last = URL_END.exec(url)); url = url.slice(0, last.index)) {
    const close = last[1];
    if (close && count(url, close) <= count(url, "([{"[")]}".indexOf(close)])) break;
  }
  const closing = url.indexOf("**");
  const isStrong = state.delimiters.some(({ marker, open, length }) => marker === 0x2a && open && length > 1);
  if (closing >= 0 && isStrong) url = url.slice(0, closing);
  return url.length > 3 ? pos + url.length : pos;
}

const count = (text, char) => text.split(char).length - 1;

/** The one tag that is read: nothing else ends a line in a cell of a table. */
function takeBreak(state, silent) {
  const end = matched(BREAK, state);
  if (end === state.pos) return false;
  if (!silent) state.push("hardbreak", "br", 0);
  state.pos = end;
  return true;
}

function takeBackslash(state, silent, escape) {
  const { pos, src, posMax } = state;
  if (src[pos] !== "\\" || pos + 1 >= posMax) return false;
  const char = src[pos + 1];
  if (char === "\n") return escape(state, silent);
  if (char !== "\\" && escapes(src, pos, char)) {
    if (!silent) {
      const token = state.push("text_special", "", 0);
      Object.assign(token, { content: char, markup: `\\${char}`, info: "escape" });
    }
    state.pos += 2;
    return true;
  }
  const length = STANDING.includes(char) ? 2 : 1;
  if (!silent) state.pending += src.slice(pos, pos + length);
  state.pos += length;
  return true;
}

function escapes(text, start, char) {
  if (ESCAPED.includes(char)) return !COMMAND.test(wordAround(text, start));
  const before = text.slice(Math.max(0, start - 10), start);
  if (">-+".includes(char)) return before === "" || before.endsWith("\n");
  if (".)".includes(char)) return LINE_NUMBER.test(before);
  if (char === "(") return before.endsWith("]");
  if (char === "!") return text[start + 2] === "[";
  return char === "&" && ENTITY.test(text.slice(start + 1, start + 40));
}

function wordAround(text, at) {
  const before = /\S*$/.exec(text.slice(Math.max(0, at - LONGEST_WORD), at))[0];
  return before + /^\S*/.exec(text.slice(at, at + LONGEST_WORD))[0];
}

// -------------------------------------------------------------- emphasis and links

function takeMarks(state, silent) {
  const start = state.pos;
  const mark = state.src[start];
  if (silent || !MARKS.includes(mark)) return false;
  const { end, open, close } = scan(state.src, start, state.posMax);
  const length = end - start;
  if (mark === "~" && length !== 2) return false;
  const step = mark === "~" ? 2 : 1;
  for (let at = 0; at < length; at += step) {
    state.push("text", "", 0).content = mark.repeat(step);
    const token = state.tokens.length - 1;
    state.delimiters.push({ marker: mark.charCodeAt(0), length: mark === "~" ? 0 : length, token, end: -1, open, close });
  }
  state.pos = end;
  return true;
}

function takeLink(state, silent, rule, bracket) {
  const { pos, src } = state;
  if (src[bracket] !== "[" || (bracket > pos && src[pos] !== "!")) return false;
  const labelEnd = state.md.helpers.parseLinkLabel(state, bracket, bracket === pos);
  if (labelEnd < 0 || src[labelEnd + 1] !== "(") return false;
  const address = src.slice(labelEnd + 2, labelEnd + 2 + LONGEST_WORD).trimStart();
  return leadsSomewhere(address, src[pos - 1] ?? " ") && rule(state, silent);
}

function leadsSomewhere(address, before) {
  if (address.startsWith("<")) return true;
  if (isWord(before) || ")]".includes(before)) return ADDRESS.test(address);
  return !BARE.test(address);
}

// -------------------------------------------------------------- blocks

function takeFormula(state, start, most, silent) {
  const opening = FORMULA_LINE.exec(lineOf(state, start))?.[0];
  if (!opening || state.sCount[start] - state.blkIndent >= 4) return false;
  const end = lastLine(state, start, most, ending(opening));
  if (end <= start) return false;
  if (silent) return true;
  state.line = end + 1;
  state.push("paragraph_open", "p", 1).map = [start, end + 1];
  const content = state.getLines(start, end + 1, state.blkIndent, false).trim();
  Object.assign(state.push("inline", "", 0), { content, map: [start, end + 1], children: [] });
  state.push("paragraph_close", "p", -1);
  return true;
}

function ending(opening) {
  if (opening === "$$") return /\$\$[.,;]?\s*$/;
  if (opening === "\\[") return /\\\][.,;]?\s*$/;
  const name = opening.slice("\\begin{".length, -1).replace("*", "\\*");
  return new RegExp(`\\\\end\\{${name}\\}[.,;]?\\s*$`);
}

function lastLine(state, start, most, closing) {
  if (closing.test(lineOf(state, start).slice(2))) return start;
  for (let line = start + 1; line < most; line += 1) {
    if (state.isEmpty(line) || state.sCount[line] < state.blkIndent) return start;
    if (closing.test(lineOf(state, line))) return line;
  }
  return start;
}

const lineOf = (state, line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);

/** Gives each item of an ordered list its number, where the browser would count another one. */
function giveNumbers(state) {
  const lists = [];
  for (const token of state.tokens) {
    if (/^(ordered|bullet)_list_open$/.test(token.type)) lists.push({ first: null, same: true, items: 0, next: Number(token.attrGet("start") ?? 1) });
    else if (/^(ordered|bullet)_list_close$/.test(token.type)) lists.pop();
    else if (token.type === "list_item_open" && token.info) number(token, lists.at(-1));
  }
}

function number(item, list) {
  const written = Number(item.info);
  list.first ??= written;
  list.same &&= written === list.first;
  const value = list.same ? written + list.items : written;
  if (value !== list.next) item.attrSet("value", String(value));
  list.items += 1;
  list.next = value + 1;
}

/** Keeps a formula in an item apart from the text before it: the paragraphs of a list without gaps have no element. */
function partParagraphs(state) {
  state.tokens.forEach((token, at) => {
    if (token.type !== "paragraph_open" || !token.hidden || state.tokens[at - 1]?.type !== "paragraph_close") return;
    token.hidden = false;
    state.tokens[at + 2].hidden = false;
  });
}
