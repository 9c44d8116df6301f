// Keeps the cells of a table's row beyond its header, which markdown-it drops. It does what adapters/base/markdown/tables.py does.

const BAR = /(?<!\\)\|/g;
const KEPT = /(?<![`\\])(`+)(?!`).+?(?<!`)\1(?!`)|(?<![\p{L}\p{N}_$\\])\$(?![\s$])[^$\n`]*?(?<=[^\s\\])\$(?![\p{L}\p{N}_$])|\\\(.{1,300}?\\\)/gu; // code, and formulas

/** Returns the Markdown with bars in code and formulas escaped that would make a cell too many, and headers as wide as the widest row. */
export function withWholeRows(text, tokens) {
  const lines = text.split("\n");
  tokens.forEach((token, at) => {
    if (token.type !== "table_open") return;
    const [start, end] = token.map;
    const wide = columns(tokens, at);
    for (let row = start + 2; row < end; row += 1) lines[row] = withBarsKept(lines[row], wide);
    const more = Math.max(0, ...lines.slice(start + 2, end).map(cells)) - wide;
    if (more <= 0) return;
    lines[start] = extended(lines[start], "  |".repeat(more));
    lines[start + 1] = extended(lines[start + 1], "---|".repeat(more));
  });
  return lines.join("\n");
}

function columns(tokens, at) {
  let found = 0;
  for (; tokens[at].type !== "thead_close"; at += 1) found += tokens[at].type === "th_open" ? 1 : 0;
  return found;
}

const endsRow = (row) => row.endsWith("|") && !row.endsWith("\\|");

function cells(line) {
  const row = line.replace(/^[ \t>]+|[ \t>]+$/g, "").replace(/^\|/, "");
  const bars = (row.match(BAR) ?? []).length;
  return endsRow(row) ? bars : bars + 1;
}

function withBarsKept(line, wide) {
  return cells(line) > wide ? line.replace(KEPT, (kept) => kept.replace(BAR, "\\|")) : line;
}

function extended(line, more) {
  const row = line.trimEnd();
  return endsRow(row) ? row + more : `${row} |${more}`;
}
