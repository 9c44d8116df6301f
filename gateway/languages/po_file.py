"""Reads the catalogues: files in gettext's format PO, as Babel writes them. www.gnu.org/software/gettext/manual

The standard library reads catalogues in binary form only. They are compiled in memory, so that there is no file that
may be older than what it was made from, and no step between a checkout and a start. Babel could do it, but takes
three times the memory, and 30 MB of disk.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MAGIC = 0x950412DE
HEADER_BYTES, ENTRY_BYTES = 28, 8
END_OF_CONTEXT = "\x04"
"""Between the context and the text of a key: www.gnu.org/software/gettext/manual/html_node/MO-Files.html"""


@dataclass(slots=True)
class PoEntry:
    """A sentence of the catalogue and its translation."""

    context: str = ""
    text: str = ""
    plural: str = ""
    translations: list[str] = field(default_factory=list)
    """One for each plural form of the language; else one."""
    sources: list[str] = field(default_factory=list)
    """The files that have the sentence."""

    @property
    def key(self) -> str:
        context = f"{self.context}{END_OF_CONTEXT}" if self.context else ""
        return context + self.text + (f"\0{self.plural}" if self.plural else "")


def read(path: Path) -> Sequence[PoEntry]:
    """Returns the entries, first the header, whose text is empty. What is marked as uncertain is left out."""
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    found = ([line for line in block.split("\n") if line and not line.startswith("#~")] for block in blocks)
    return [_entry(lines) for lines in found if lines and not any(_is_fuzzy(line) for line in lines)]


def compiled(entries: Iterable[PoEntry]) -> bytes:
    """Returns the entries that are translated in gettext's binary format MO."""
    pairs = sorted(
        (entry.key.encode(), "\0".join(entry.translations).encode()) for entry in entries if all(entry.translations)
    )
    texts = [text for texts in zip(*pairs, strict=True) for text in texts]  # all keys, then all translations
    begin = HEADER_BYTES + ENTRY_BYTES * len(texts)
    header = struct.pack("<7I", MAGIC, 0, len(pairs), HEADER_BYTES, HEADER_BYTES + ENTRY_BYTES * len(pairs), 0, begin)
    return header + b"".join(_places(texts, begin)) + b"".join(text + b"\0" for text in texts)


def _places(texts: Iterable[bytes], at: int) -> Iterator[bytes]:
    for text in texts:
        yield struct.pack("<2I", len(text), at)
        at += len(text) + 1


def _is_fuzzy(line: str) -> bool:
    return line.startswith("#,") and "fuzzy" in line


def _entry(lines: Iterable[str]) -> PoEntry:
    entry, written = PoEntry(), dict[str, str]()
    name = ""
    for line in lines:
        if line.startswith("#:"):
            entry.sources += line.removeprefix("#:").split()
        elif not line.startswith("#"):
            name, text = (name, line) if line.startswith('"') else line.split(" ", 1)
            written[name] = written.get(name, "") + ast.literal_eval(text)
    entry.context, entry.text = written.get("msgctxt", ""), written["msgid"]
    entry.plural = written.get("msgid_plural", "")
    entry.translations = [text for name, text in written.items() if name.startswith("msgstr")]
    return entry
