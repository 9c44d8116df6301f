"""The order of the tests, by which expensive things are started in one of pytest's workers instead of in each."""

from __future__ import annotations

from typing import TypeVar

import pytest

BROWSER = ("tests/browser/",)
FORKED = (
    "tests/faults/",
    "tests/storage/test_migrations.py",
    "tests/storage/test_budget_processes.py",
    "tests/gateway/web/test_server.py",
    "tests/adapters/telegram/test_telegram_polling.py",
)
"""They fork processes from one that has loaded everything, which takes more than a second for each worker."""
DATABASE = ("tests/storage/",)
GROUPS = (BROWSER, FORKED, DATABASE)

Item = TypeVar("Item", bound=pytest.Item)


def order_by_share(items: list[Item], workers: int) -> list[Item]:
    """Returns the tests so that each group is at the beginning of what one worker gets.

    ``--dist worksteal`` gives each worker an equal part of the tests, in their order. Whoever is done takes some from
    the end of another's part: the cheap ones, as long as there are any.
    """
    groups = {group: [item for item in items if _group_of(item) == group] for group in GROUPS}
    others = [item for item in items if _group_of(item) is None]
    ordered: list[Item] = []
    for worker in range(workers):
        size = (len(items) - len(ordered)) // (workers - worker)
        own = [item for group in GROUPS[worker::workers] for item in groups[group]]
        filling = max(0, size - len(own))
        ordered += own + others[:filling]
        del others[:filling]
    return ordered + others


def _group_of(item: pytest.Item) -> tuple[str, ...] | None:
    return next((group for group in GROUPS if item.nodeid.startswith(group)), None)
