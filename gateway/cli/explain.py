"""``python -m gateway explain``: tells how a message would be handled, without running anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from decimal import Decimal

import click

from gateway import operations
from gateway.coordination.shares import SharedPlaces
from gateway.domain.bots import is_named, platform_of
from gateway.domain.conversations import Conversation
from gateway.domain.errors import InputError
from gateway.domain.models import DEFAULT_ASSISTANT, Message, MessageKind, ThreadId
from gateway.policy.routes import AssistantRouter, described
from gateway.policy.rules import MILLION, MINUTE, ApplicableBudget, Rules, UserRateLimit
from gateway.ports.budgets import BudgetStore, BudgetUsage
from gateway.ports.platform import Adapter, DryRunnable, ParsedUpdate, SyntheticMessage
from gateway.ports.reporting import ReportingStore, TurnFilter
from gateway.ports.store import Store

COMMAND_OUTCOMES = {
    MessageKind.RESET: "It would reset the conversation.",
    MessageKind.STOP: "It would stop the running turn.",
    MessageKind.CHOOSE: "It would choose an assistant, or list those that can be chosen.",
    MessageKind.HAND_OVER: "It would hand the conversation over to a person.",
    MessageKind.RESUME: "It would give the conversation back to the assistant.",
}
IGNORED_REASON = "it is not addressed to the bot. If it mentions the bot, pass --mention"
NEEDS_CONVERSATION = "it is answered only in an existing conversation"


@dataclass(frozen=True, slots=True)
class ExplainContext:
    """What an explanation is based on."""

    adapters: Sequence[Adapter]
    """The enabled ones."""
    store: Store
    reporting: ReportingStore
    budget_store: BudgetStore
    rules: Rules
    router: AssistantRouter
    max_backlog: int
    """Unfinished turns allowed per conversation."""
    max_queue: int
    """Unfinished turns allowed in all."""
    max_queue_per_platform: int
    max_caller_share: float
    """The part of that which one caller may have."""
    max_workspace_share: float
    """The part of it which one workspace may have."""
    hands_over: bool = False
    """Whether people may ask for a person."""


OpenExplainContext = Callable[[], AbstractContextManager[ExplainContext]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an explanation."""

    name: str
    text: str
    denial_reason: str = ""
    """Why the message would not be answered; empty when this finding does not prevent it."""


def command(open_context: OpenExplainContext) -> click.Command:
    """Returns the ``explain`` command."""

    @click.command("explain")
    @click.option("--platform", required=True, metavar="NAME", help="Such as slack, telegram or http.")
    @click.option("--workspace", default="", metavar="ID", help="Default: where the channel or the user last wrote.")
    @click.option("--channel", default="", metavar="ID", help="Channel, chat or, for http, thread_id.")
    @click.option("--topic", default="", metavar="ID", help="Topic inside the channel, such as Slack's thread_ts.")
    @click.option("--user", default="", metavar="ID", help="Author of the message.")
    @click.option(
        "--user-workspace", default="", metavar="ID", help="The author's own, where another company shares it."
    )
    @click.option("--mention", is_flag=True, help="The message mentions the bot.")
    @click.argument("text")
    def explain_command(
        platform: str,
        workspace: str,
        channel: str,
        topic: str,
        user: str,
        user_workspace: str,
        text: str,
        *,
        mention: bool,
    ) -> None:
        """Tell whether a message would be answered, in which conversation and under which limits.

        Nothing is sent or stored. Exit status 1 if it would not be answered.
        """
        synthetic = SyntheticMessage(text, workspace, channel, topic, user, mention, user_workspace)
        with open_context() as context:
            explanation = explain(context, platform, synthetic)
        for line in explanation.lines:
            click.echo(line)
        sys.exit(0 if explanation.is_answered else 1)

    return explain_command


@dataclass(frozen=True, slots=True)
class Explanation:
    is_answered: bool
    lines: Sequence[str]


def explain(context: ExplainContext, platform: str, synthetic: SyntheticMessage) -> Explanation:
    """Returns how a message would be handled.

    Raises InputError for what the platform cannot send, StoreUnavailable.
    """
    adapter = _find_adapter(context, platform)
    update = adapter.dry_run(
        synthetic
        if synthetic.workspace
        else replace(synthetic, workspace=_last_known_workspace(context, platform, synthetic))
    )
    messages = [message for message in update.messages if not message.must_join]
    if not messages:
        return Explanation(is_answered=False, lines=(_explain_ignored(update),))
    explanations = [_explain_message(context, message) for message in messages]
    return Explanation(
        all(each.is_answered for each in explanations), [line for each in explanations for line in each.lines]
    )


def _last_known_workspace(context: ExplainContext, platform: str, synthetic: SyntheticMessage) -> str:
    """Returns the workspace in which the channel, or else the person, last wrote; empty when there is none."""
    for search in (TurnFilter(platform, channel=synthetic.channel), TurnFilter(platform, author=synthetic.user)):
        if search.channel or search.author:
            for line in context.reporting.find_conversations(search, limit=1):
                return line.conversation.key.workspace
    return ""


def _find_adapter(context: ExplainContext, platform: str) -> DryRunnable:
    found = next((adapter for adapter in context.adapters if adapter.name == platform), None)
    if isinstance(found, DryRunnable):
        return found
    names = ", ".join(adapter.name for adapter in context.adapters if isinstance(adapter, DryRunnable))
    raise InputError(f"No enabled platform {platform!r} can be explained. Enabled: {names}.")


def _explain_ignored(update: ParsedUpdate) -> str:
    if update.response_body:
        return f"It would be answered without the assistant: {update.response_body}"
    return f"It would not be answered: {IGNORED_REASON}."


def _explain_message(context: ExplainContext, message: Message) -> Explanation:
    conversation = _find_conversation(context.store, message)
    message, route = context.router.place(_as_meant(context, message, conversation))
    assistant = route.decide(message.assistant, conversation.chosen if conversation else "")
    findings = [_lists_finding(context, message), _conversation_finding(message, conversation)]
    if message.kind is MessageKind.PROMPT:
        findings += [
            *_handover_findings(conversation),
            _assistant_finding(context, message, assistant, conversation),
            *_reading_findings(message),
            *_budget_findings(context, message, assistant),
            *_rate_findings(context, message),
            *_queue_findings(context, message, conversation),
        ]
    objection = next((finding.denial_reason for finding in findings if finding.denial_reason), "")
    conclusion = (
        f"It would not be answered: {objection}."
        if objection
        else COMMAND_OUTCOMES.get(message.kind, "It would be answered.")
    )
    width = max(len(finding.name) for finding in findings) + 2
    return Explanation(not objection, [conclusion, *(f"{each.name:{width}}{each.text}" for each in findings)])


def _as_meant(context: ExplainContext, message: Message, conversation: Conversation | None) -> Message:
    """Returns the message; as a PROMPT if it is a command about persons that means nothing here."""
    is_taken = conversation is not None and conversation.handover is not None
    asks = message.kind is MessageKind.HAND_OVER and not context.hands_over
    ends = message.kind is MessageKind.RESUME and message.only_if_running and not is_taken
    return replace(message, kind=MessageKind.PROMPT) if asks or ends else message


def _find_conversation(store: Store, message: Message) -> Conversation | None:
    found = store.find_conversation(message.key)
    if found is None and not message.may_start_conversation:  # a caller may name a thread by its id at the backend
        found = store.find_conversation_by_thread(ThreadId(message.key.channel))
    expected = (message.key.platform, message.key.workspace)
    return found if found and (found.key.platform, found.key.workspace) == expected else None


# ---------------------------------------------------------------- findings


def _lists_finding(context: ExplainContext, message: Message) -> Finding:
    objection = context.rules.denial_reason(message)
    if objection:
        return Finding("lists", objection, objection)
    if platform_of(message.key.platform) in context.rules.allowed:
        return Finding("lists", "listed in ALLOWED")
    return Finding("lists", "not in BLOCKED, and ALLOWED lists no name of this platform")


def _conversation_finding(message: Message, conversation: Conversation | None) -> Finding:
    key = conversation.key if conversation else message.key
    parts = {"workspace": key.workspace, "channel": key.channel, "topic": key.topic, "user": key.user}
    place = ", ".join([key.platform, *(f"{name} {part}" for name, part in parts.items() if part)])
    if conversation is None:
        objection = "" if message.may_start_conversation else f"{NEEDS_CONVERSATION}, and there is none"
        return Finding(
            "conversation",
            f"none yet; it would be {place}" if message.may_start_conversation else f"none: {place}",
            objection,
        )
    thread = "no thread yet"
    if conversation.thread_id:
        whose = "" if conversation.assistant == DEFAULT_ASSISTANT else f" for {conversation.assistant}"
        thread = f"thread {conversation.thread_id} of {conversation.backend}{whose}"
    return Finding("conversation", f"{conversation.id}, {thread}: {place}")


def _handover_findings(conversation: Conversation | None) -> Iterator[Finding]:
    """Yields that a person answers in the conversation."""
    if conversation is not None and conversation.handover is not None:
        text = f"a person has taken the conversation over, {operations.iso(conversation.handover.since)}"
        yield Finding("handover", text, "a person answers in this conversation instead of the assistant")


def _assistant_finding(
    context: ExplainContext, message: Message, assistant: str, conversation: Conversation | None
) -> Finding:
    """Returns who would be asked, and why."""
    if message.assistant:
        reason = "the message asks for it"
    elif conversation is not None and conversation.chosen == assistant:
        reason = "chosen for this conversation"
    elif message.allowed_assistants:
        reason = "the first of those that the caller's key is bound to"
    else:
        route, bot = context.router.route_of(message.key), message.key.platform
        whose = f"that of the bot {bot}; " if route is None and is_named(bot) else ""
        reason = f"{whose}{described(route)}"
    names = message.allowed_assistants or context.router.names(message.key)
    others = [name for name in names if name != assistant]
    return Finding("assistant", f"{assistant}, {reason}" + (f"; may be chosen: {', '.join(others)}" if others else ""))


def _reading_findings(message: Message) -> Iterator[Finding]:
    """Yields what the assistant is told of the message, line by line: without markup, mentions as names, and so on."""
    for number, line in enumerate(message.text_with_attachments.splitlines() or ["nothing"]):
        yield Finding("read as" if number == 0 else "", line)


def _budget_findings(context: ExplainContext, message: Message, assistant: str) -> Iterator[Finding]:
    shares = context.rules.applicable_budgets(message, context.reporting.now(), assistant)
    spent = context.budget_store.usage_of([share.budget for share in shares]) if shares else ()
    for share, each in zip(shares, spent, strict=True):
        yield _budget_finding(share, each)
    if not shares:
        yield Finding("budgets", "none")


def _budget_finding(applicable: ApplicableBudget, usage: BudgetUsage) -> Finding:
    name, budget = f"budget, {applicable.scope} per {applicable.period}", applicable.budget
    limits = ((budget.soft_limit, "soft limit {}"), (budget.hard_limit, "hard limit {}"))
    parts = [
        f"{format_money(usage.cost)} spent",
        *(text.format(format_money(limit)) for limit, text in limits if limit is not None),
    ]
    if usage.reserved:
        parts.append(f"{format_money(usage.reserved)} reserved for running turns")
    used_up = budget.hard_limit is not None and usage.cost >= budget.hard_limit
    objection = f"the budget of the {applicable.scope} for {applicable.period.label} is used up" if used_up else ""
    return Finding(name, f"{', '.join(parts)}, resets on {applicable.resets_at:%Y-%m-%d %H:%M} UTC", objection)


def _rate_findings(context: ExplainContext, message: Message) -> Iterator[Finding]:
    for pace in context.rules.rate_limits_of(message):
        yield _rate_finding(pace, context.budget_store.seconds_until_token(pace.bucket))


def _rate_finding(limit: UserRateLimit, wait_seconds: float) -> Finding:
    number = "one message" if limit.max_turns == 1 else f"{limit.max_turns} messages"
    most = f"at most {number} in {'a minute' if limit.seconds == MINUTE else 'an hour'}"
    if wait_seconds <= 0:
        return Finding("rate", f"{most}, one is allowed now")
    next_one = f"the next one is allowed in {wait_seconds:.0f} s"
    return Finding("rate", f"{most}, {next_one}", f"the rate limit is reached; {next_one}")


def _queue_findings(context: ExplainContext, message: Message, conversation: Conversation | None) -> Iterator[Finding]:
    platform = message.key.platform
    turns = context.store.transcript(conversation.id, limit=context.max_backlog) if conversation else ()
    depths = context.store.queue_depths()
    waiting = {depth.platform: depth.unfinished for depth in depths}
    shares = next((depth.by_share for depth in depths if depth.platform == platform), {})
    most, fraction = context.max_queue_per_platform, context.max_workspace_share
    places = SharedPlaces(most, context.max_caller_share, shares, workspace_fraction=fraction)
    yield _queue_finding(
        "backlog", sum(not turn.state.is_resolved for turn in turns), context.max_backlog, "in this conversation"
    )
    for turn in turns:
        if turn.is_parked:
            yield Finding("waits", f"the turn {turn.id} before it waits for: {operations.parking_text(turn)}")
    yield _queue_finding("queue", waiting.get(platform, 0), context.max_queue_per_platform, f"on {platform}")
    if workspace := message.share.workspace:
        count = sum(turns for share, turns in shares.items() if share.workspace == workspace)
        yield _queue_finding("", count, places.workspace_limit(workspace), "from this workspace")
    yield _queue_finding("", shares.get(message.share, 0), places.limit_of(message.share), "from this caller")
    yield _queue_finding("", sum(waiting.values()), context.max_queue, "in all")


def _queue_finding(name: str, waiting: int, limit: int, where: str) -> Finding:
    objection = f"{limit} messages are waiting {where}" if waiting >= limit else ""
    return Finding(name, f"{waiting} of {limit} waiting {where}", objection)


def format_money(millionths: int) -> str:
    """Returns millionths as an amount of money: 0.50, 12.00, 0.000125."""
    whole, _, part = f"{Decimal(millionths) / MILLION:.6f}".partition(".")
    return f"{whole}.{part.rstrip('0'):0<2}"
