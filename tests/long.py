"""Which tests are long, needing a browser or processes: `make test` plays one of each kind, `make long` the rest."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

KIND_IS_FILE = ("tests/browser/",)
KIND_IS_TEST = ("tests/faults/",)
"""Its cases differ in the step at which a process dies, and in the assistant or the platform beside it."""


def mark_long(items: Sequence[pytest.Item]) -> None:
    """Marks all tests of these folders as long, but for the first of each kind."""
    played = set[str]()
    for item in items:
        kind = _kind_of(item)
        if kind in played:
            item.add_marker("long")
        elif kind is not None and item.get_closest_marker("slow") is None:
            played.add(kind)


def _kind_of(item: pytest.Item) -> str | None:
    if item.nodeid.startswith(KIND_IS_FILE):
        return item.nodeid.partition("::")[0]
    return item.nodeid.partition("[")[0] if item.nodeid.startswith(KIND_IS_TEST) else None
