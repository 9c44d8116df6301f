"""Stores in an address what an adapter must know to deliver a reply: the fields of a frozen dataclass of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from gateway.domain.models import Address

Target = TypeVar("Target")


def to_address(target: Any) -> Address:
    """Returns the fields by their names. Empty ones are left out."""
    parts = {each.name: getattr(target, each.name) for each in fields(target)}
    return {name: part for name, part in parts.items() if part}


def from_address(kind: type[Target], address: Mapping[str, str]) -> Target:
    """Returns a target as ``to_address`` wrote it, also in another release: fields unknown to either are left out."""
    return kind(**{each.name: address.get(each.name, "") for each in fields(kind)})  # type: ignore[arg-type]  # a dataclass
