"""Numbers of servers are read whatever they are."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.assistants.json_fields import as_usage
from gateway.domain.models import Usage

IMMENSE = 10**400


@pytest.mark.parametrize(
    "count", [None, -1, 1e300, float("inf"), float("nan"), True, "9", [9], {}, IMMENSE, -IMMENSE], ids=type
)
def test_what_cannot_be_a_number_of_tokens_is_none(count: Any) -> None:
    assert as_usage({"prompt_tokens": count, "completion_tokens": 2.0}) == Usage(0, 2)


@pytest.mark.parametrize("usage", [None, [], "none", 7, {}])
def test_a_server_that_counts_nothing_is_not_believed_to(usage: Any) -> None:
    assert as_usage(usage) == Usage()


@pytest.mark.parametrize(("total", "tokens_out"), [(12, 2), (15, 5), (20, 5), (None, 2)])
def test_reasoning_is_added_if_the_total_says_so(total: int | None, tokens_out: int) -> None:
    counted = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": total}
    assert as_usage({**counted, "completion_tokens_details": {"reasoning_tokens": 3}}) == Usage(10, tokens_out)
