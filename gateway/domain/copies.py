"""Copies of frozen dataclasses with other values of some fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ("changed",)

if TYPE_CHECKING:  # it takes what ``replace`` takes, and is checked likewise
    from dataclasses import replace as changed
else:

    def changed(value: Any, **fields: Any) -> Any:
        """Returns a copy of a dataclass without slots, with other values of some fields.

        ``dataclasses.replace`` gives every field to ``__init__``: with the thirty of a message or a turn that takes ten
        times as long, and a turn is changed at each step of its way.
        """
        copied = object.__new__(type(value))
        copied.__dict__.update(value.__dict__, **fields)
        return copied
