// Reads the Markdown of an assistant as adapters/base/reading.py does, which explains the rules.

import { MARKS, isWord, scan } from "./delimiters.js";

const FORMULAS = {
  $: /\$\$(?:\\.|[^$\\])+?\$\$|(?<![\p{L}\p{N}])\$(?![\s$])(?:\\.|(?!\]\()[^$\n\\`])*?(?<=[^\s\\])\$(?![\p{L}\p{N}$])/suy,
  "\\": /\\\(.+?\\\)|\\\[(?=(?:(?!\\\]).)*?(?:[\s^_=+*/-]|\\(?!\]))).+?\\\](?!\()|\\begin\{(?<name>[A-Za-z]+\*?)\}.*?\\end\{\k<name>\}/suy,
};
const NAME = /__(?![A-Z][a-z])[A-Za-z0-9]+(?:_+[A-Za-z0-9]+)*__(?![A-Za-z0-9])/y;
const GLOB = /\*\*\/(?:[^\s*]*(?:\*[^\s*]+)*\/)?\*{1,2}(?:\.[\w*]+)?(?![\w*])/y;
const URL_REST = /:\/\/(?:(?!\]\()[^\s<>"`\\\u3000-\u303f\uff00-\uff0f\uff1a-\uff20])+/y;
const URL_END = /(?:[?!.,:;*_~'|]|&[a-z]+;|(?<close>[)\]}]))$/;
const SCHEME = /[A-Za-z][A-Za-z0-9+.-]*$/;
const LONGEST_SCHEME = 16;
const LONGEST_WORD = 200;
const ESCAPED = "*_`[]<#~$";
const STANDING = "*_[]<#~$\\";
const ENTITY = /^&#?[\p{L}\p{N}_]{1,32};/u;
const COMMAND = /\\[A-Za-z]/;
const LINE_NUMBER = /(?:^|\n)[0-9]{1,9}$/;
const BARE = /^[A-Za-z0-9_+*^=,-]+\)/;
const ADDRESS = /^(?:[A-Za-z][A-Za-z0-9+.-]*:|[/#]|\.{1,2}\/|www\.)/;
const FORMULA_LINE = /^(?:\$\$|\\\[|\\begin\{[A-Za-z]+\*?\})/;
const BAR = /(?<!\\)\|/g;

/** Gives a markdown-it the rules. */
export function readAsMeant(markdown) {
  const { inline, block, core, utils } = markdown;
  const rules = Object.fromEntries(inline.ruler.__rules__.map(({ name, fn }) => [name, fn]));
  markdown.disable(["reference", "lheading", "strikethrough"]);
  inline.ruler.before("escape", "literal", takeLiteral);
  inline.ruler.at("escape", (state, silent) => takeBackslash(state, silent, rules.escape));
  inline.ruler.at("emphasis", takeMarks);
  inline.ruler.at("link", (state, silent) => takeLink(state, silent, rules.link, state.pos));
  inline.ruler.at("image", (state, silent) => takeLink(state, silent, rules.image, state.pos + 1));
  block.ruler.before("fence", "formula", takeFormula, { alt: ["paragraph", "blockquote", "list"] });
  core.ruler.push("numbers", giveNumbers);
  return utils;
}
