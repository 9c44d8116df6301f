"""Every sentence of the code is in every catalogue, translated soundly, and read as Babel reads it."""

from __future__ import annotations

import re
from functools import cache
from gettext import c2py
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message

from gateway.domain.sentences import Sentence, counted
from gateway.languages import LanguageSettings, say, tag_of
from tests.languages.catalogues import FILES, extracted, read, translations, updated

PLACEHOLDER = re.compile(r"\{(\w+)\}")
KEPT = re.compile(r"`\w+`|[A-Z]{3,}(?:_[A-Z]+)+|--\w+|https?://\S+|Retry-After|turn_id|\bSlack\b|\bEsc\b|\n")
"""What stays as it is in every language: commands, settings, options, names, lines."""
COUNTS = (1, 2, 5, 11, 21, 22, 1000, 1_000_000)

template = cache(extracted)


def texts(entry: Message) -> tuple[str, ...]:
    """The English text, or the two of them."""
    return (entry.id,) if isinstance(entry.id, str) else tuple(entry.id)


def problems(entry: Message) -> list[str]:
    """What is wrong with the translation of a sentence."""
    english = texts(entry)[-1]
    return [
        f"{translation!r} of {english!r}: {what}"
        for translation in translations(entry)
        for what, is_right in {
            "not translated": bool(translation),
            "space at an end": translation == translation.strip() or len(english) == 1,
            "other values": _values(translation) in [_values(text) for text in texts(entry)],
            "something that must stay is missing": _kept(english) == _kept(translation),
            "emphasis": _is_emphasized(english) == _is_emphasized(translation),
        }.items()
        if not is_right
    ]


def _values(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text))


def _kept(text: str) -> list[str]:
    return sorted({word for word in KEPT.findall(text) if word != "Esc"})


def _is_emphasized(text: str) -> bool:
    return text.startswith("_") and text.endswith("_")


def test_all_files_are_listed_by_default() -> None:
    assert set(LanguageSettings().languages.offered) == {"en", *(path.stem for path in FILES)}
    assert LanguageSettings().languages.offered[0] == "en"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_catalogue_has_the_sentences_of_the_code(path: Path) -> None:
    assert path.read_text() == updated(path, template()), "run: make languages"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_sentence_is_translated_soundly(path: Path) -> None:
    assert [problem for entry in read(path) if entry.id for problem in problems(entry)] == []


@pytest.mark.parametrize(
    ("english", "translation"),
    [
        ("Hello {name}.", ""),
        ("Hello {name}.", "Hallo."),
        ("Hello {name}.", "Hallo {nam}."),
        ("Write `reset` there.", "Schreib dort `zurück`."),
        ("_The end._", "Das Ende."),
        ("Hello.", "Hallo. "),
        (("One file", "{count} files"), ("Eine Datei", "{number} Dateien")),
    ],
)
def test_an_unsound_translation_is_found(english: str | tuple[str, str], translation: str | tuple[str, str]) -> None:
    catalogue = Catalog("de")
    entry = catalogue.add(english, translation)
    assert problems(entry)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_said_is_what_babel_reads(path: Path) -> None:
    catalogue = read(path)
    form_of = c2py(catalogue.plural_expr)
    for entry in catalogue:
        if not entry.id or entry.context:
            continue
        values: dict[str, Any] = {name: f"«{name}»" for name in PLACEHOLDER.findall(texts(entry)[-1])}
        if isinstance(entry.id, str):
            assert say(Sentence(entry.id, "", values), path.stem) == translations(entry)[0].format(**values)
            continue
        for count in COUNTS:
            form = translations(entry)[form_of(count)]
            one, other = entry.id
            said = say(counted(one, other, **(values | {"count": count})), path.stem)
            assert re.sub(r"(?<=\d)\D(?=\d{3})", "", said) == form.format(**(values | {"count": count}))


def test_tags_tell_scripts_and_regions_apart() -> None:
    assert [tag_of(language) for language in ("en", "de", "pt", "zh")] == ["en", "de", "pt-BR", "zh-Hans"]
