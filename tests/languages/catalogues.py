"""Compares the catalogues with the sentences in the code, by Babel."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "gateway" / "languages"
FILES = sorted(FOLDER.glob("*.po"))
METHODS = {".py": "python", ".html": "jinja2", ".js": "javascript"}
KEYWORDS: dict[str, tuple[int, ...] | tuple[tuple[int, str], int] | None] = {
    "sentence": None,
    "counted": (1, 2),
    "pgettext": ((1, "c"), 2),
}
CALL = re.compile(rf"\b(?:{'|'.join(KEYWORDS)})\(")
HEADER = r"""# {name}. See README.md
msgid ""
msgstr ""
"Language: {locale}\n"
"Plural-Forms: nplurals={count}; plural={rule};\n"
"Content-Type: text/plain; charset=utf-8\n"

"""


def sources() -> Iterator[Path]:
    """Yields the files that have sentences."""
    for folder in (ROOT / "adapters", ROOT / "gateway", ROOT / "storage"):
        for path in sorted(folder.rglob("*")):
            if path.suffix in METHODS and "vendor" not in path.parts and CALL.search(path.read_text()):
                yield path


def extracted() -> Catalog:
    """Returns all sentences in the code, by the files that have them."""
    found = Catalog()
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        for _, message, _, context in extract_from_file(METHODS[path.suffix], str(path), KEYWORDS):
            found.add(message, locations=[(name, 1)], context=context)
    return found


def read(path: Path) -> Catalog:
    """Returns a catalogue as it is."""
    locale = re.search(r"Language: (\w+)", path.read_text())
    assert locale is not None, f"{path.name} names no language"
    with path.open("rb") as file:
        return read_po(file, locale[1])


def translations(entry: Message) -> tuple[str, ...]:
    """Returns the translation of a sentence in each plural form."""
    return (entry.string or "",) if isinstance(entry.string, str | None) else tuple(entry.string)


def updated(path: Path, template: Catalog) -> str:
    """Returns a catalogue as Babel writes it with the sentences of the code. What is new in it has no translation."""
    catalogue = read(path)
    catalogue.update(template, no_fuzzy_matching=True)
    written = io.BytesIO()
    write_po(
        written,
        catalogue,
        width=0,
        omit_header=True,
        sort_by_file=True,
        ignore_obsolete=True,
        include_lineno=False,
    )
    assert catalogue.locale is not None
    header = HEADER.format(
        name=catalogue.locale.english_name,
        locale=catalogue.locale_identifier,
        count=catalogue.num_plurals,
        rule=catalogue.plural_expr,
    )
    return header + written.getvalue().decode()
