"""A reply that is longer than a setting allows is cut, with a line that says so."""

from __future__ import annotations

import pytest

from gateway.worker.answering.reply_limit import ReplyLimit

NOTE = "\n\n_The answer was longer than 10 characters and was cut off here._"


@pytest.mark.parametrize(("reply", "fitted"), [("x" * 10, "x" * 10), ("x" * 11, "x" * 10 + NOTE), ("", "")])
def test_a_complete_reply_is_cut_at_the_limit(reply: str, fitted: str) -> None:
    assert ReplyLimit(10).fitted(reply) == fitted


def test_a_growing_reply_is_cut_at_the_limit_wherever_its_pieces_end() -> None:
    limit = ReplyLimit(10)
    assert [limit.add("abcd"), limit.add("efgh"), limit.add("ij")] == [False, False, False]
    assert limit.add("k")
    assert limit.text == f"abcdefghij{NOTE}"


def test_a_code_block_that_is_cut_is_closed() -> None:
    assert ReplyLimit(10).fitted("```\n" + "x" * 10) == "```\nxxxxxx\n```" + NOTE
