"""Says the bot's own sentences in a language that it has a catalogue of. Thread-safe; reads a catalogue once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any

from gateway.domain.sentences import COUNT, Sentence
from gateway.languages import po_file

FOLDER = Path(__file__).parent
ENGLISH = "en"
"""The language in which the sentences stand in the code; it has no catalogue."""
AVAILABLE = frozenset({ENGLISH, *(path.stem for path in FOLDER.glob("*.po"))})
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})


def say(text: str, language: str) -> str:
    """Returns one of the bot's sentences in a language; ``text`` itself if it is not known there.

    ``text``: a Sentence; or the English text of one without values, as it was stored. ``language``: one of AVAILABLE;
    empty for English.
    """
    if not text or language in {"", ENGLISH}:
        return str(text)
    return _said(text, _catalogue(language))


def tag_of(language: str) -> str:
    """Returns a language as HTML and HTTP name it, such as ``zh-Hans``: datatracker.ietf.org/doc/html/rfc5646"""
    if language == ENGLISH:
        return ENGLISH
    return str(_catalogue(language).info()["language"]).replace("_", "-")


def direction_of(language: str) -> str:
    """Returns in which direction it is written, as HTML's ``dir``."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"


@cache
def sentences_of(source: str, language: str) -> Mapping[str, str]:
    """Returns all sentences of files whose path contains ``source``, with their translations; none for English."""
    if language == ENGLISH:
        return {}
    entries = po_file.read(FOLDER / f"{language}.po")
    return {entry.text: entry.translations[0] for entry in entries if any(source in each for each in entry.sources)}


@cache
def _catalogue(language: str) -> NullTranslations:
    if language not in AVAILABLE:  # of a message that a process with more languages has taken in
        return NullTranslations()
    return GNUTranslations(BytesIO(po_file.compiled(po_file.read(FOLDER / f"{language}.po"))))


def _said(text: str, catalogue: NullTranslations) -> str:
    if not isinstance(text, Sentence):
        return catalogue.gettext(text)
    template = (
        catalogue.ngettext(text.template, text.plural, text.values[COUNT])
        if text.plural
        else catalogue.gettext(text.template)
    )
    return template.format(**{name: _value(value, catalogue) for name, value in text.values.items()})


def _value(value: Any, catalogue: NullTranslations) -> str:
    if isinstance(value, Sentence):
        return _said(value, catalogue)
    if isinstance(value, int):
        return f"{value:,}".replace(",", catalogue.pgettext("between the thousands of a number", ","))
    return str(value)
