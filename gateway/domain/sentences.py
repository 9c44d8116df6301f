"""The bot's own sentences, before it is known in which language they are said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

COUNT = "count"
"""The name of the value by which a plural form is chosen."""


class Sentence(str):
    """One of the bot's own sentences. As a text it is English; it knows what it takes to say it otherwise.

    ``gateway.languages.say`` does that, where a person reads it. Whatever is stored or logged is English.
    """

    __slots__ = ("plural", "template", "values")

    template: str
    """What identifies it in the catalogues: the English text, with the names of values in braces."""
    plural: str
    """The English text for any ``count`` but one; empty where nothing is counted."""
    values: Mapping[str, Any]
    """Texts, integers, and other sentences, by their names."""

    def __new__(cls, template: str, plural: str, values: Mapping[str, Any]) -> Self:
        text = plural if plural and values[COUNT] != 1 else template
        made = super().__new__(cls, text.format(**{name: _in_english(value) for name, value in values.items()}))
        made.template, made.plural, made.values = template, plural, values
        return made

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, Mapping[str, Any]]]:
        """Is copied with its parts."""
        return type(self), (self.template, self.plural, self.values)


def sentence(template: str, /, **values: Any) -> Sentence:
    """Returns a sentence of the catalogues: ``make languages`` finds it by this call, so the text stands in it."""
    return Sentence(template, "", values)


def counted(one: str, other: str, /, count: int, **values: Any) -> Sentence:
    """Returns a sentence that counts: in the texts ``{count}`` is the number. For ``make languages``, as above."""
    return Sentence(one, other, {COUNT: count, **values})


def joined(first: Sentence, second: Sentence) -> Sentence:
    """Returns two sentences, one behind the other."""
    return sentence("{first} {second}", first=first, second=second)


def _in_english(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
