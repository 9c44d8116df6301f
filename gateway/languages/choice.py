"""Chooses the language in which a person is spoken to, by what their client says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from pydantic import field_validator

from gateway.languages.catalogue import AVAILABLE, ENGLISH
from gateway.settings import EnvironmentSettings
from gateway.settings.values import split_list

BETWEEN_SUBTAGS = re.compile(r"[-_.@]")
TRADITIONAL = frozenset({"hant", "hk", "mo", "tw"})
"""Subtags of Chinese in traditional characters. Who reads those gets no simplified ones: by CLDR none falls back to
the other. unicode.org/reports/tr35/#Parent_Locales"""
WEIGHT = re.compile(r"q=(1(?:\.0*)?|0(?:\.\d*)?)", re.IGNORECASE)
MAX_HEADER_CHARS = 500


@dataclass(frozen=True, slots=True)
class Languages:
    """The languages that the bot speaks."""

    offered: tuple[str, ...] = (ENGLISH,)
    """By their codes. The first is for those of whose language nothing is known, or nothing that is offered."""

    @property
    def is_choice(self) -> bool:
        """Whether it is worth finding out which one a person reads."""
        return len(self.offered) > 1

    def best(self, *tags: str) -> str:
        """Returns the language of the first tag for which one is offered: ``pt-BR``, ``de_DE.UTF-8``."""
        for tag in tags:
            language = _language_of(tag)
            if language in self.offered:
                return language
        return self.offered[0]

    def accepted(self, header: str) -> str:
        """Returns the best one for ``Accept-Language``: httpwg.org/specs/rfc9110.html#field.accept-language"""
        if not header or not self.is_choice:
            return self.offered[0]
        weighed = sorted(_weighed(header[:MAX_HEADER_CHARS]), key=lambda found: -found[0])
        return self.best(*(tag for weight, tag in weighed if weight))


ENGLISH_ONLY = Languages()


class LanguageSettings(EnvironmentSettings):
    """Settings of the languages that the bot itself speaks; the assistant answers in whatever it is spoken to."""

    lists: ClassVar[Mapping[str, str]] = {"gateway_languages": ","}

    gateway_languages: str = ", ".join((ENGLISH, *sorted(AVAILABLE - {ENGLISH})))
    """The languages of the bot's own sentences, comma-separated, see `gateway/languages/README.md`. People get theirs
    if it is listed, else the first. One alone: everybody gets that."""

    @field_validator("gateway_languages")
    @classmethod
    def _are_available(cls, listed: str) -> str:
        codes = split_list(listed.lower())
        if not codes or not AVAILABLE.issuperset(codes):
            raise ValueError(f"must list some of {', '.join(sorted(AVAILABLE))}, with commas between them")
        return listed

    @property
    def languages(self) -> Languages:
        return Languages(tuple(dict.fromkeys(split_list(self.gateway_languages.lower()))))


@lru_cache(maxsize=256)
def _language_of(tag: str) -> str:
    """Returns the code of a tag's language, as a catalogue is named; "" for traditional Chinese."""
    language, *further = BETWEEN_SUBTAGS.split(tag.strip().lower())
    return "" if language == "zh" and not TRADITIONAL.isdisjoint(further) else language


def _weighed(header: str) -> Iterator[tuple[float, str]]:
    for part in header.split(","):
        tag, _, parameters = part.partition(";")
        found = WEIGHT.fullmatch(parameters.strip())
        yield float(found[1]) if found else 1.0, tag.strip()
