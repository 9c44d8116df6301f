"""Stores in an address what an adapter must know to deliver a reply."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self

from gateway.domain.models import Address


class ReplyTarget:
    """Base of a frozen dataclass of texts, whose fields an address holds by their names."""

    __slots__ = ()

    @classmethod
    def of(cls, address: Address) -> Self:
        """Reads what ``address`` wrote, also in another release: fields unknown to either are left out."""
        kind: Any = cls
        found: Self = kind(**{each.name: address.get(each.name, "") for each in fields(kind)})
        return found

    @property
    def address(self) -> Address:
        """The fields by their names. Empty ones are left out."""
        target: Any = self
        parts = {each.name: getattr(target, each.name) for each in fields(target)}
        return {name: part for name, part in parts.items() if part}
