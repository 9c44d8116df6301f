"""What Slack says no with, and what breaks on the way: nothing of it is without a meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.base.errors import OutcomeUnknown, PlatformRateLimited, Rejected, Unreachable
from adapters.slack.error_map import READS, TABLE, refused
from adapters.slack.rate_limits import RATES
from gateway.domain.errors import DeliveryError

POST = "chat.postMessage"
DOCUMENTED = {
    method: frozenset(codes.split())
    for method, _, codes in (
        line.partition(": ") for line in Path(__file__).with_name("documented_errors.txt").read_text().splitlines()
    )
    if not method.startswith("#")
}
SECRET = "xoxb-1234567890-abcdefghij"


def refusal(method: str, code: str, **more: object) -> DeliveryError:
    body = {"ok": False, "error": code, **more}
    return refused(method, 200, {}, body)


def test_every_code_that_slack_documents_for_our_methods_is_in_the_table() -> None:
    assert set(RATES) <= set(DOCUMENTED)
    documented = frozenset().union(*DOCUMENTED.values())
    assert documented - set(TABLE) == set()
    assert set(TABLE) - documented == set()


@pytest.mark.parametrize("code", sorted(TABLE))
def test_a_refusal_says_what_to_do(code: str) -> None:
    error = refusal(POST, code)
    assert isinstance(error, Unreachable | PlatformRateLimited | OutcomeUnknown | Rejected)
    assert POST in str(error)
    if isinstance(error, Rejected):
        assert error.reason == code
        assert code in str(error)
        assert str(error).endswith(".")
    else:
        assert error.retry_after is not None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (
            "internal_error",
            OutcomeUnknown,
        ),  # "It's possible some aspect of the operation succeeded before the error was raised."
        ("fatal_error", OutcomeUnknown),
        ("service_unavailable", Unreachable),
        ("request_timeout", Unreachable),  # "the POST data was either missing or truncated"
        ("team_added_to_org", Unreachable),
        ("ratelimited", PlatformRateLimited),
        ("rate_limited", PlatformRateLimited),
        ("channel_not_found", Rejected),
        ("token_revoked", Rejected),
        ("never_heard_of", Rejected),
    ],
)
def test_a_code_says_whether_to_try_again(code: str, kind: type[DeliveryError]) -> None:
    assert type(refusal(POST, code)) is kind
    if kind is OutcomeUnknown:
        assert type(refusal("conversations.replies", code)) is Unreachable


def test_an_expired_token_is_tried_again_because_it_may_be_renewed_meanwhile() -> None:
    error = refusal(POST, "token_expired")
    assert isinstance(error, Rejected)
    assert error.retry_after


@pytest.mark.usefixtures("masked")
def test_the_reasons_that_slack_gives_are_passed_on_without_secrets_and_without_end() -> None:
    messages = [f"[ERROR] no {SECRET} here", "x" * 5000]
    error = refusal(POST, "invalid_blocks", response_metadata={"messages": messages})
    assert "[ERROR] no *** here" in str(error)
    assert len(str(error)) < 500


def test_nothing_that_people_see_counts_as_a_read() -> None:
    writes = {
        method for method in DOCUMENTED if method.startswith(("chat.", "assistant.", "agents.", "files.complete"))
    }
    assert not writes & READS
