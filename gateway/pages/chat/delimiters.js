// Tells which marks of Markdown are meant as markup. It decides as adapters/base/markdown/delimiters.py does, which explains it.

export const MARKS = "*_~";
const PAIRS = { "(": ")", "[": "]", "{": "}", "<": ">" };
const NO_OPENER_AFTER = ")]}/\\^$@#%&";
const NO_OPENER_BEFORE = ")]},;";
const NO_CLOSER_AFTER = "([{\\";
const NO_ITALIC_CLOSER_AFTER = "/^$";
const NO_ITALIC_CLOSER_BEFORE = "([{\\$+/^=";
const END_OF_WORD = /^\p{L}{2,}\*\*(?![\p{L}\p{N}])/u;
const BEGINNING_OF_WORD = /(?<![\p{L}\p{N}])\*\*[^\s*]{1,60}$/u;
const LETTERS = /\*\*\p{L}{1,60}$/u;
const LETTERS_ALONE = /(?<![\p{L}\p{N}])\*\*\p{L}{1,60}$/u;
const LONGEST_WORD = 64;
const isSpace = (char) => /^\s/.test(char);
export const isWord = (char) => /^[\p{L}\p{N}]/u.test(char);
const isLetter = (char) => /^\p{L}/u.test(char);

/** A letter of a script that may stand without spaces between words. */
const isUnspaced = (char) => isLetter(char) && char.toLowerCase() === char.toUpperCase();

/** Returns the run of marks that begins at `start`, and whether it can open and close. */
export function scan(text, start, most) {
  const end = skip(text, start, most, text[start]);
  let left = start;
  while (left > 0 && MARKS.includes(text[left - 1])) left -= 1;
  const right = skip(text, end, most, MARKS);
  const before = [...text.slice(Math.max(0, left - 2), left)].at(-1) ?? " ";
  const [after = " ", second = ""] = [...text.slice(right, Math.min(right + 4, most))];
  if ((PAIRS[before] ?? before) === after && !isWord(before)) return { end, open: false, close: false };
  const italic = text[start] === "_" || end - start === 1;
  let open = mayOpen(before, after, second, italic);
  let close = mayClose(before, after, second, italic);
  if (open && isWord(before)) open = !italic && opensInWord(text, end, before);
  if (close && isWord(after)) close = closesInWord(text, start, after, italic);
  return { end, open, close };
}

function skip(text, at, most, marks) {
  while (at < most && marks.includes(text[at])) at += 1;
  return at;
}

function mayOpen(before, after, second, italic) {
  if (isSpace(after) || NO_OPENER_AFTER.includes(before) || NO_OPENER_BEFORE.includes(after)) return false;
  const glob = after === "/" || (after === "." && isWord(second));
  return !(italic && (glob || before === "."));
}

function mayClose(before, after, second, italic) {
  if (isSpace(before) || NO_CLOSER_AFTER.includes(before)) return false;
  if (!italic) return !(")]".includes(before) && "([".includes(after));
  const glob = after === "." && isWord(second);
  return !(glob || NO_ITALIC_CLOSER_AFTER.includes(before) || NO_ITALIC_CLOSER_BEFORE.includes(after));
}

function opensInWord(text, end, before) {
  return isUnspaced(before) || (isLetter(before) && END_OF_WORD.test(text.slice(end, end + LONGEST_WORD)));
}

function closesInWord(text, start, after, italic) {
  if (isUnspaced(after)) return text[start] !== "_";
  if (italic) return false;
  const before = text.slice(Math.max(0, start - LONGEST_WORD), start);
  const letters = isUnspaced([...before].at(-1));
  if (isLetter(after)) return BEGINNING_OF_WORD.test(before) || (letters && LETTERS.test(before));
  return letters && LETTERS_ALONE.test(before);
}
