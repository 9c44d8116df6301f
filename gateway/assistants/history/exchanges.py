"""Fits the history of a conversation into a size limit, and builds it from messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.assistants.requests.parameters import TRUNCATION
from gateway.assistants.sse import Json
from gateway.domain.exchange import CallOutput, Exchange, RequestedCall
from gateway.domain.models import Turn

CUT_MARK = "\n[…]\n"
"""Marks where text was left out."""
NO_RESULT = "[no result came]"


def fit_history(history: Sequence[Exchange], max_chars: int) -> list[Exchange]:
    """Returns the newest exchanges that fit into ``max_chars`` characters, oldest first and without a gap.

    Only whole exchanges; if not even the newest one fits, its texts are shortened in the middle.
    """
    kept: list[Exchange] = []
    left = max_chars
    for exchange in reversed(history):
        left -= exchange_chars(exchange)
        if left < 0:
            break
        kept.append(exchange)
    if history and not kept and max_chars > 0:
        kept = [_cut_exchange(history[-1], max_chars)]
    return kept[::-1]


def truncated(history: Sequence[Exchange], turn: Turn) -> Sequence[Exchange]:
    """Returns what of the history a turn is to remember that may see the ``last_messages`` only, itself among them.

    Messages that were answered together are one. What was said for the turn's own rounds of calls stays.
    """
    strategy = turn.options.parameters.get(TRUNCATION)
    if strategy is None:
        return history
    before = len(history) - len(turn.rounds)
    return [*_last_messages(history[:before], strategy["last_messages"] - 1), *history[before:]]


def _last_messages(history: Sequence[Exchange], count: int) -> list[Exchange]:
    kept, left = list[Exchange](), count
    for exchange in reversed(history):
        if left < len(exchange_messages(exchange)):
            if left and exchange.reply:
                kept.append(replace(exchange, text="", outputs=()))
            break
        kept.append(exchange)
        left -= len(exchange_messages(exchange))
    return kept[::-1]


def exchange_messages(exchange: Exchange) -> list[Json]:
    """Returns an exchange as messages, without those that have no text."""
    said = (("user", exchange.text), ("assistant", exchange.reply))
    return [{"role": role, "content": content} for role, content in said if content]


def exchange_chars(exchange: Exchange) -> int:
    calls = sum(len(call.arguments) for call in exchange.calls)
    return len(exchange.text) + len(exchange.reply) + calls + sum(len(each.output) for each in exchange.outputs)


def with_turn(past: Iterable[Exchange], turn: Turn) -> list[Exchange]:
    """Returns the exchanges, and the turn's message as the last one, so that calls and their results match.

    Servers refuse others: a call without a result, after which something else was said, gets one that says so; a result
    whose call is not among the exchanges any more becomes text.
    """
    options = turn.options
    matched, calls = list[Exchange](), tuple[RequestedCall, ...]()
    for each in (*past, Exchange(turn.message.text_with_attachments, "", outputs=options.outputs)):
        matched.append(_with_outputs(each, calls) if calls or each.outputs else each)
        calls = each.calls
    return _since_user_spoke(matched)


def _since_user_spoke(exchanges: list[Exchange]) -> list[Exchange]:
    """Returns the exchanges with what goes back with calls only where nothing but results followed: servers want it
    there, and some refuse it of what was before.
    """
    begin = len(exchanges) - 1
    while begin > 0 and exchanges[begin].outputs and not exchanges[begin].text:
        begin -= 1
    return [*(replace(each, returned="") if each.returned else each for each in exchanges[:begin]), *exchanges[begin:]]


def _with_outputs(exchange: Exchange, calls: Iterable[RequestedCall]) -> Exchange:
    """Returns an exchange with one result for each of the calls before it; other results become text."""
    given = {one.call_id: one for one in exchange.outputs}
    outputs = tuple(given.pop(call.id, CallOutput(call.id, call.output or NO_RESULT)) for call in calls)
    texts = [*(result_text(one.output) for one in given.values()), exchange.text]
    return replace(exchange, text="\n\n".join(filter(None, texts)), outputs=outputs)


def result_text(output: str) -> str:
    """Returns the result of a function as a part of a message, where its call is not known any more."""
    return f"[the result of a function]\n{output}"


def pair_exchanges(messages: Iterable[tuple[str, str]]) -> list[Exchange]:
    """Builds exchanges from (role, text) pairs, oldest first: assistant texts after a user message are its reply."""
    exchanges: list[Exchange] = []
    for role, text in messages:
        if role == "user":
            exchanges.append(Exchange(text, ""))
        elif role == "assistant" and text:
            last = exchanges.pop() if exchanges else Exchange("", "")
            exchanges.append(Exchange(last.text, f"{last.reply}\n\n{text}" if last.reply else text))
    return exchanges


def _cut_exchange(exchange: Exchange, max_chars: int) -> Exchange:
    """Shortens both texts: each gets half of ``max_chars``, and what the other does not need."""
    for_reply = min(len(exchange.reply), max(max_chars // 2, max_chars - len(exchange.text)))
    return replace(
        exchange,
        text=cut_middle(exchange.text, max_chars - for_reply),
        reply=cut_middle(exchange.reply, for_reply),
        outputs=tuple(replace(each, output=cut_middle(each.output, max_chars)) for each in exchange.outputs),
    )


def cut_middle(text: str, max_chars: int) -> str:
    """Returns the beginning and the end of a text that is longer than ``max_chars``; else the text."""
    if len(text) <= max_chars:
        return text
    room = max_chars - len(CUT_MARK)
    if room < 2:  # noqa: PLR2004  # one character on each side
        return text[:max_chars]
    return text[: room - room // 2] + CUT_MARK + text[len(text) - room // 2 :]
