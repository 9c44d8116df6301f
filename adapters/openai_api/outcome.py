"""What a program reads of a turn's outcome, whichever API it speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.openai_api.errors import REFUSED
from gateway.domain.audit import AuditEvent
from gateway.domain.exchange import RequestedCall
from gateway.domain.models import Failure, Turn
from gateway.domain.run_events import PROMPT_LIMIT
from gateway.web.api import views

LIMITED = frozenset({"rate_limited", "budget_exhausted", "caller_queue_full", "overloaded"})

WITHOUT_TEXT = frozenset({"incomplete", PROMPT_LIMIT})
"""Codes of failures that a program reads as an answer without text."""


def failure_code(failure: Failure) -> str:
    """Returns why a run or a response failed, by a code that both have (``LastError``, ``ResponseError``)."""
    if failure.code in LIMITED:
        return "rate_limit_exceeded"
    return "invalid_prompt" if failure.code in REFUSED else "server_error"


def failure_of(turn: Turn) -> Failure | None:
    """Returns why a turn has no answer, or None. One that met its limit before any text has one, which is empty."""
    failure = views.failure_of(turn)
    return None if _met_limit_before_text(failure) else failure


def is_cut_off(turn: Turn) -> bool:
    """Returns whether the reply ends at a limit."""
    return limit_of(turn) is not None


def limit_of(turn: Turn) -> str | None:
    """Returns at which limit the reply ends, as ``RunCompleted`` has it; None: it is whole."""
    failure = views.failure_of(turn)
    noted = [entry.detail for entry in turn.audit_log if entry.event is AuditEvent.CUT_OFF]
    noted += [failure.code] if failure is not None and _met_limit_before_text(failure) else []
    return (PROMPT_LIMIT if PROMPT_LIMIT in noted[-1] else "") if noted else None


def _met_limit_before_text(failure: Failure | None) -> bool:
    return failure is not None and failure.code in WITHOUT_TEXT


def calls_of(turn: Turn) -> Sequence[RequestedCall]:
    """Returns the calls that the caller is to run: not those of the assistant's own tools."""
    return [call for call in turn.calls if call.output is None]


def text_of(turn: Turn) -> str:
    """Returns the reply without its refusal, and the names of its files, for which these APIs have no place."""
    whole, refusal = _whole(turn), refusal_of(turn)
    return whole.removesuffix(refusal).rstrip("\n") if refusal else whole


def refusal_of(turn: Turn) -> str:
    """Returns what the model refuses with. It is text if the reply does not end with it, as one that was cut off."""
    return turn.refusal if _whole(turn).endswith(turn.refusal) else ""


def unsent(turn: Turn, sent: str) -> tuple[str, str]:
    """Returns what of the reply was not streamed yet: text, and refusal. What was streamed is nearly always its
    beginning.
    """
    whole = _whole(turn)
    if not whole.startswith(sent):
        return "", ""
    begin = max(len(whole) - len(refusal_of(turn)), len(sent))
    return whole[len(sent) : begin], whole[begin:]


def _whole(turn: Turn) -> str:
    return "\n\n".join(filter(None, [turn.reply, *(f"[file: {each.name}]" for each in turn.reply_files)]))


def usage_of(turn: Turn) -> dict[str, Any]:
    """Returns the tokens of a turn, by the names of completions and runs."""
    taken, written = turn.usage.tokens_in, turn.usage.tokens_out
    return {"prompt_tokens": taken, "completion_tokens": written, "total_tokens": taken + written}
