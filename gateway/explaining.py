"""Tells what would become of a message, without running anything: ``python -m gateway explain``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from decimal import Decimal

import click

from gateway.catalogue import Catalogue, Search
from gateway.errors import InputError
from gateway.ledger import Ledger, Spent
from gateway.messages import Conversation, Kind, Message, ThreadId
from gateway.ports import Adapter, Explaining, Receipt, Supposed
from gateway.rules import MILLION, MINUTE, Pace, Rules, Share
from gateway.storing import Store

DONE_BY = {Kind.RESET: "It would begin the conversation anew.", Kind.STOP: "It would stop what is being answered."}
UNREAD = "nothing of it is meant for us. Does it mention us? Then say --mention"
KEPT_OUT = "it counts only in a conversation that is there already"


@dataclass(frozen=True, slots=True)
class Sight:
    """What is looked at."""

    adapters: Sequence[Adapter]
    """Those that are switched on."""
    store: Store
    catalogue: Catalogue
    ledger: Ledger
    rules: Rules
    backlog: int
    """How many turns of a conversation may wait."""
    queue: int
    """How many in all."""
    queue_per_platform: int


OpenSight = Callable[[], AbstractContextManager[Sight]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an explanation."""

    name: str
    text: str
    objection: str = ""
    """Why the message would not be answered; empty when nothing is in its way here."""


def command(open_sight: OpenSight) -> click.Command:
    """``explain``, for the command line."""

    @click.command("explain")
    @click.option("--platform", required=True, metavar="NAME", help="Such as slack, telegram or http.")
    @click.option(
        "--workspace", default="", metavar="ID", help="Without it, where the channel or the user was heard of last."
    )
    @click.option("--channel", default="", metavar="ID", help="A channel, a chat or, for http, a thread_id.")
    @click.option("--topic", default="", metavar="ID", help="A strand inside the channel, such as Slack's thread_ts.")
    @click.option("--user", default="", metavar="ID", help="Who says it.")
    @click.option("--mention", is_flag=True, help="It calls the bot by name.")
    @click.argument("text")
    def explain_command(
        platform: str, workspace: str, channel: str, topic: str, user: str, text: str, *, mention: bool
    ) -> None:
        """Tell whether a message would be answered, in which conversation, under which limits, and why.

        Nothing is sent or stored. Exit status 1 if it would not be answered.
        """
        supposed = Supposed(text, workspace, channel, topic, user, mention)
        with open_sight() as sight:
            explanation = explain(sight, platform, supposed)
        for line in explanation.lines:
            click.echo(line)
        sys.exit(0 if explanation.answered else 1)

    return explain_command


@dataclass(frozen=True, slots=True)
class Explanation:
    answered: bool
    lines: Sequence[str]


def explain(sight: Sight, platform: str, supposed: Supposed) -> Explanation:
    """What would become of a message. Raises InputError for what cannot be the platform's, StoreUnavailable."""
    adapter = _adapter(sight, platform)
    receipt = adapter.suppose(
        supposed if supposed.workspace else replace(supposed, workspace=_known(sight, platform, supposed))
    )
    if not receipt.messages:
        return Explanation(answered=False, lines=(_unread(receipt),))
    each = [_message(sight, message) for message in receipt.messages]
    return Explanation(all(one.answered for one in each), [line for one in each for line in one.lines])


def _known(sight: Sight, platform: str, supposed: Supposed) -> str:
    """The workspace in which the channel, or else the person, was heard of last; empty when they never were."""
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
    raise InputError(f"There is no platform {platform!r} switched on that could explain itself. There are: {names}.")


def _unread(receipt: Receipt) -> str:
    return f"It would be told at once: {receipt.body}" if receipt.body else f"It would not be answered: {UNREAD}."


def _message(sight: Sight, message: Message) -> Explanation:
    conversation = _conversation(sight.store, message)
    findings = [_lists(sight, message), _where(message, conversation)]
    if message.kind is Kind.ASK:
        findings += [*_budgets(sight, message), *_paces(sight, message), *_queues(sight, message, conversation)]
    objection = next((finding.objection for finding in findings if finding.objection), "")
    verdict = (
        f"It would not be answered: {objection}." if objection else DONE_BY.get(message.kind, "It would be answered.")
    )
    width = max(len(finding.name) for finding in findings) + 2
    return Explanation(not objection, [verdict, *(f"{each.name:{width}}{each.text}" for each in findings)])


def _conversation(store: Store, message: Message) -> Conversation | None:
    found = store.conversation(message.key)
    if found is None and not message.opens:  # a thread may be named by its id at the backend
        found = store.conversation_of(ThreadId(message.key.channel))
    theirs = (message.key.platform, message.key.workspace)
    return found if found and (found.key.platform, found.key.workspace) == theirs else None


# ---------------------------------------------------------------- findings


def _lists(sight: Sight, message: Message) -> Finding:
    objection = sight.rules.objection(message)
    if objection:
        return Finding("lists", objection, objection)
    named = message.key.platform in sight.rules.allowed
    return Finding("lists", "ALLOWED names it" if named else "not blocked, and ALLOWED names nobody of this platform")


def _where(message: Message, conversation: Conversation | None) -> Finding:
    key = conversation.key if conversation else message.key
    parts = {"workspace": key.workspace, "channel": key.channel, "topic": key.topic, "user": key.user}
    place = ", ".join([key.platform, *(f"{name} {part}" for name, part in parts.items() if part)])
    if conversation is None:
        objection = "" if message.opens else f"{KEPT_OUT}, and there is none"
        return Finding(
            "conversation", f"none yet, it would be {place}" if message.opens else f"none: {place}", objection
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
    limits = ((budget.soft, "told from {} on"), (budget.hard, "at most {}"))
    said = [f"{money(spent.cost)} spent", *(text.format(money(limit)) for limit, text in limits if limit is not None)]
    if spent.held:
        said.append(f"{money(spent.held)} kept free for what is running")
    used_up = budget.hard is not None and spent.cost >= budget.hard
    objection = f"the budget of the {share.whose} for {share.span.now} is used up" if used_up else ""
    return Finding(name, f"{', '.join(said)}, anew on {share.anew:%Y-%m-%d %H:%M} UTC", objection)


def _paces(sight: Sight, message: Message) -> Iterator[Finding]:
    for pace in sight.rules.pace(message):
        yield _pace(pace, sight.ledger.free_in(pace.bucket))


def _pace(pace: Pace, wait: float) -> Finding:
    number = "one message" if pace.most == 1 else f"{pace.most} messages"
    most = f"at most {number} in {'a minute' if pace.seconds == MINUTE else 'an hour'}"
    if wait <= 0:
        return Finding("rate", f"{most}, there is room for one now")
    later = f"in {wait:.0f} s"
    return Finding("rate", f"{most}, the next one {later}", f"that would be too many messages; the next one {later}")


def _queues(sight: Sight, message: Message, conversation: Conversation | None) -> Iterator[Finding]:
    platform = message.key.platform
    turns = sight.store.transcript(conversation.id, limit=sight.backlog) if conversation else ()
    waiting = {depth.platform: depth.turns for depth in sight.store.depths()}
    yield _queue("backlog", sum(not turn.state.decided for turn in turns), sight.backlog, "in this conversation")
    yield _queue("queue", waiting.get(platform, 0), sight.queue_per_platform, f"on {platform}")
    yield _queue("", sum(waiting.values()), sight.queue, "in all")


def _queue(name: str, waiting: int, most: int, where: str) -> Finding:
    objection = f"{most} messages wait {where} already" if waiting >= most else ""
    return Finding(name, f"{waiting} of {most} wait {where}", objection)


def money(amount: int) -> str:
    """Millionths as people write money: 0.50, 12.00, 0.000125."""
    whole, _, part = f"{Decimal(amount) / MILLION:.6f}".partition(".")
    return f"{whole}.{part.rstrip('0'):0<2}"
