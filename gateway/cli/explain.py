"""``python -m gateway explain``: tells how a message would be handled, without running anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from decimal import Decimal

import click

from gateway.domain.errors import InputError
from gateway.domain.models import Conversation, Kind, Message, ThreadId
from gateway.policy.rules import MILLION, MINUTE, Pace, Rules, Share
from gateway.ports.budgets import Ledger, Spent
from gateway.ports.platform import Adapter, Explaining, Receipt, Supposed
from gateway.ports.reporting import Catalogue, Search
from gateway.ports.store import Store

DONE_BY = {Kind.RESET: "It would reset the conversation.", Kind.STOP: "It would stop the running turn."}
UNREAD = "it is not addressed to the bot. If it mentions the bot, pass --mention"
KEPT_OUT = "it is answered only in an existing conversation"


@dataclass(frozen=True, slots=True)
class Sight:
    """What an explanation is based on."""

    adapters: Sequence[Adapter]
    """The enabled ones."""
    store: Store
    catalogue: Catalogue
    ledger: Ledger
    rules: Rules
    backlog: int
    """Unfinished turns allowed per conversation."""
    queue: int
    """Unfinished turns allowed in all."""
    queue_per_platform: int


OpenSight = Callable[[], AbstractContextManager[Sight]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an explanation."""

    name: str
    text: str
    objection: str = ""
    """Why the message would not be answered; empty when this finding does not prevent it."""


def command(open_sight: OpenSight) -> click.Command:
    """Returns the ``explain`` command."""

    @click.command("explain")
    @click.option("--platform", required=True, metavar="NAME", help="Such as slack, telegram or http.")
    @click.option("--workspace", default="", metavar="ID", help="Default: where the channel or the user last wrote.")
    @click.option("--channel", default="", metavar="ID", help="Channel, chat or, for http, thread_id.")
    @click.option("--topic", default="", metavar="ID", help="Topic inside the channel, such as Slack's thread_ts.")
    @click.option("--user", default="", metavar="ID", help="Author of the message.")
    @click.option("--mention", is_flag=True, help="The message mentions the bot.")
    @click.argument("text")
    def explain_command(
        platform: str, workspace: str, channel: str, topic: str, user: str, text: str, *, mention: bool
    ) -> None:
        """Tell whether a message would be answered, in which conversation and under which limits.

        Nothing is sent or stored. Exit status 1 if it would not be answered.
        """
        synthetic = Supposed(text, workspace, channel, topic, user, mention)
        with open_sight() as context:
            explanation = explain(context, platform, synthetic)
        for line in explanation.lines:
            click.echo(line)
        sys.exit(0 if explanation.answered else 1)

    return explain_command


@dataclass(frozen=True, slots=True)
class Explanation:
    answered: bool
    lines: Sequence[str]


def explain(sight: Sight, platform: str, supposed: Supposed) -> Explanation:
    """Returns how a message would be handled.

    Raises InputError for what the platform cannot send, StoreUnavailable.
    """
    adapter = _adapter(sight, platform)
    update = adapter.suppose(
        supposed if supposed.workspace else replace(supposed, workspace=_known(sight, platform, supposed))
    )
    if not update.messages:
        return Explanation(answered=False, lines=(_unread(update),))
    explanations = [_message(sight, message) for message in update.messages]
    return Explanation(
        all(each.answered for each in explanations), [line for each in explanations for line in each.lines]
    )


def _known(sight: Sight, platform: str, supposed: Supposed) -> str:
    """Returns the workspace in which the channel, or else the person, last wrote; empty when there is none."""
    for search in (Search(platform, channel=supposed.channel), Search(platform, user=supposed.user)):
        if search.channel or search.user:
            for line in sight.catalogue.find_conversations(search, limit=1):
                return line.conversation.key.workspace
    return ""


def _adapter(sight: Sight, platform: str) -> Explaining:
    found = next((adapter for adapter in sight.adapters if adapter.name == platform), None)
    if isinstance(found, Explaining):
        return found
    names = ", ".join(adapter.name for adapter in sight.adapters if isinstance(adapter, Explaining))
    raise InputError(f"No enabled platform {platform!r} can be explained. Enabled: {names}.")


def _unread(receipt: Receipt) -> str:
    if receipt.body:
        return f"It would be answered without the assistant: {receipt.body}"
    return f"It would not be answered: {UNREAD}."


def _message(sight: Sight, message: Message) -> Explanation:
    conversation = _conversation(sight.store, message)
    findings = [_lists(sight, message), _where(message, conversation)]
    if message.kind is Kind.ASK:
        findings += [*_budgets(sight, message), *_paces(sight, message), *_queues(sight, message, conversation)]
    objection = next((finding.objection for finding in findings if finding.objection), "")
    conclusion = (
        f"It would not be answered: {objection}." if objection else DONE_BY.get(message.kind, "It would be answered.")
    )
    width = max(len(finding.name) for finding in findings) + 2
    return Explanation(not objection, [conclusion, *(f"{each.name:{width}}{each.text}" for each in findings)])


def _conversation(store: Store, message: Message) -> Conversation | None:
    found = store.conversation(message.key)
    if found is None and not message.opens:  # a caller may name a thread by its id at the backend
        found = store.conversation_of(ThreadId(message.key.channel))
    expected = (message.key.platform, message.key.workspace)
    return found if found and (found.key.platform, found.key.workspace) == expected else None


# ---------------------------------------------------------------- findings


def _lists(sight: Sight, message: Message) -> Finding:
    objection = sight.rules.objection(message)
    if objection:
        return Finding("lists", objection, objection)
    if message.key.platform in sight.rules.allowed:
        return Finding("lists", "listed in ALLOWED")
    return Finding("lists", "not in BLOCKED, and ALLOWED lists no name of this platform")


def _where(message: Message, conversation: Conversation | None) -> Finding:
    key = conversation.key if conversation else message.key
    parts = {"workspace": key.workspace, "channel": key.channel, "topic": key.topic, "user": key.user}
    place = ", ".join([key.platform, *(f"{name} {part}" for name, part in parts.items() if part)])
    if conversation is None:
        objection = "" if message.opens else f"{KEPT_OUT}, and there is none"
        return Finding(
            "conversation", f"none yet; it would be {place}" if message.opens else f"none: {place}", objection
        )
    thread = f"thread {conversation.thread} of {conversation.backend}" if conversation.thread else "no thread yet"
    return Finding("conversation", f"{conversation.id}, {thread}: {place}")


def _budgets(sight: Sight, message: Message) -> Iterator[Finding]:
    shares = sight.rules.shares(message, sight.catalogue.now())
    spent = sight.ledger.spent([share.budget for share in shares]) if shares else ()
    for share, each in zip(shares, spent, strict=True):
        yield _budget(share, each)
    if not shares:
        yield Finding("budgets", "none")


def _budget(share: Share, spent: Spent) -> Finding:
    name, budget = f"budget, {share.whose} per {share.span}", share.budget
    limits = ((budget.soft, "soft limit {}"), (budget.hard, "hard limit {}"))
    parts = [f"{money(spent.cost)} spent", *(text.format(money(limit)) for limit, text in limits if limit is not None)]
    if spent.held:
        parts.append(f"{money(spent.held)} reserved for running turns")
    used_up = budget.hard is not None and spent.cost >= budget.hard
    objection = f"the budget of the {share.whose} for {share.span.now} is used up" if used_up else ""
    return Finding(name, f"{', '.join(parts)}, resets on {share.anew:%Y-%m-%d %H:%M} UTC", objection)


def _paces(sight: Sight, message: Message) -> Iterator[Finding]:
    for pace in sight.rules.pace(message):
        yield _pace(pace, sight.ledger.free_in(pace.bucket))


def _pace(pace: Pace, wait: float) -> Finding:
    number = "one message" if pace.most == 1 else f"{pace.most} messages"
    most = f"at most {number} in {'a minute' if pace.seconds == MINUTE else 'an hour'}"
    if wait <= 0:
        return Finding("rate", f"{most}, one is allowed now")
    next_one = f"the next one is allowed in {wait:.0f} s"
    return Finding("rate", f"{most}, {next_one}", f"the rate limit is reached; {next_one}")


def _queues(sight: Sight, message: Message, conversation: Conversation | None) -> Iterator[Finding]:
    platform = message.key.platform
    turns = sight.store.transcript(conversation.id, limit=sight.backlog) if conversation else ()
    waiting = {depth.platform: depth.turns for depth in sight.store.depths()}
    yield _queue("backlog", sum(not turn.state.decided for turn in turns), sight.backlog, "in this conversation")
    yield _queue("queue", waiting.get(platform, 0), sight.queue_per_platform, f"on {platform}")
    yield _queue("", sum(waiting.values()), sight.queue, "in all")


def _queue(name: str, waiting: int, most: int, where: str) -> Finding:
    objection = f"{most} messages are waiting {where}" if waiting >= most else ""
    return Finding(name, f"{waiting} of {most} waiting {where}", objection)


def money(amount: int) -> str:
    """Returns millionths as an amount of money: 0.50, 12.00, 0.000125."""
    whole, _, part = f"{Decimal(amount) / MILLION:.6f}".partition(".")
    return f"{whole}.{part.rstrip('0'):0<2}"
