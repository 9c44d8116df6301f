"""The ``explain`` command: how a message would be handled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from adapters.http import HttpAdapter
from gateway.cli.explain import ExplainContext, Explanation, command, explain, format_money
from gateway.configuration import Configuration, CurrentConfiguration, RouteRule
from gateway.domain.errors import InputError, MalformedRequest
from gateway.domain.models import ConversationKey, Join, Message, MessageKind, ThreadId
from gateway.policy.routes import AssistantRouter
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.budgets import Budget
from gateway.ports.leased_writes import ParkTurn, SetThread
from gateway.ports.platform import ParsedUpdate, SyntheticMessage
from storage.budgets import SqlBudgetStore
from storage.connecting.database import Database
from storage.reporting import SqlReportingStore
from storage.store import SqlStore
from tests.adapters.chat import settings
from tests.contracts.budgets import run_turn
from tests.contracts.store_helpers import apply_write, enqueue_one, new_turn
from tests.fakes.platform import FakePlatform
from tests.gateway.one_assistant import configuration
from tests.settings import settings_of

SHARED = "shared"
"""A workspace with a share of its own."""
SYNTHETIC = SyntheticMessage("Hello", "roof", "loft", "", "ann")


class ExplainablePlatform(FakePlatform):
    """Reads the names of message kinds, starts no conversation in topics, and ignores text that begins with a dash.

    One that begins with a plus sign can only join another message.
    """

    def dry_run(self, message: SyntheticMessage) -> ParsedUpdate:
        if message.text.startswith("-"):
            return ParsedUpdate(response_body=message.text[1:])
        kind = MessageKind(message.text) if message.text in set(MessageKind) else MessageKind.PROMPT
        key = ConversationKey("pigeon", message.workspace, message.channel, message.topic)
        join = Join(60.0, required=True) if message.text.startswith("+") else None
        opens = not message.topic
        told = Message(key, "1", message.text, message.user, kind=kind, may_start_conversation=opens, join=join)
        return ParsedUpdate((replace(told, has_workspace_share=message.workspace == SHARED),))


OpenContext = Callable[..., ExplainContext]


@pytest.fixture
def see(sqlite_url: str, sqlite_store: SqlStore) -> Iterator[OpenContext]:
    database = Database(sqlite_url)

    def make(
        *,
        backlog: int = 3,
        share: float = 1.0,
        workspace: float = 1.0,
        configured: Configuration | None = None,
        **allowed: object,
    ) -> ExplainContext:
        rules = Rules.from_settings(settings_of(AdmissionSettings, **allowed))
        adapters = (
            ExplainablePlatform("pigeon"),
            HttpAdapter(settings(), sqlite_store, sqlite_store.uploads, max_message_chars=100, max_waiting=1),
        )
        ledger, catalogue = SqlBudgetStore(database), SqlReportingStore(database)
        router = AssistantRouter(CurrentConfiguration(configured or configuration()))
        return ExplainContext(
            adapters,
            sqlite_store,
            catalogue,
            ledger,
            rules,
            router,
            backlog,
            max_queue=6,
            max_queue_per_platform=5,
            max_caller_share=share,
            max_workspace_share=workspace,
        )

    yield make
    database.close()


def enqueue_message(store: SqlStore, synthetic: SyntheticMessage = SYNTHETIC, owner: str | None = None) -> None:
    (message,) = ExplainablePlatform("pigeon").dry_run(synthetic).messages
    claim = enqueue_one(store, replace(message, message_id=new_turn()), new_turn(), owner=owner).claim
    if claim:
        apply_write(store, SetThread(claim.lease, ThreadId("conv_1"), "responses"))


def budget_of(context: ExplainContext) -> Budget:
    (message,) = ExplainablePlatform("pigeon").dry_run(SYNTHETIC).messages
    (share,) = context.rules.applicable_budgets(message, context.reporting.now())
    return share.budget


def verdict(explanation: Explanation) -> str:
    return explanation.lines[0]


def line(explanation: Explanation, name: str) -> str:
    (found,) = (each for each in explanation.lines if each.startswith(f"{name} "))
    return found.removeprefix(name).strip()


def test_a_new_conversation_is_announced(see: OpenContext) -> None:
    told = explain(see(), "pigeon", SYNTHETIC)
    assert told.is_answered
    assert verdict(told) == "It would be answered."
    assert line(told, "conversation") == "none yet; it would be pigeon, workspace roof, channel loft"
    assert line(told, "budgets") == "none"
    assert line(told, "backlog") == "0 of 3 waiting in this conversation"


def test_what_can_only_be_a_part_of_another_message_is_not_for_the_bot(see: OpenContext) -> None:
    assert verdict(explain(see(), "pigeon", replace(SYNTHETIC, text="+ more"))).startswith("It would not be answered")


def test_what_the_assistant_is_told_is_shown_line_by_line(see: OpenContext) -> None:
    told = explain(see(), "pigeon", replace(SYNTHETIC, text="Hello,\nwho are you?"))
    place = next(number for number, each in enumerate(told.lines) if each.startswith("read as"))
    assert [each.removeprefix("read as").strip() for each in told.lines[place : place + 2]] == [
        "Hello,", "who are you?",
    ]  # fmt: skip


def test_a_conversation_that_is_there_is_named(see: OpenContext, sqlite_store: SqlStore) -> None:
    enqueue_message(sqlite_store, owner="one")
    told = explain(see(), "pigeon", replace(SYNTHETIC, workspace=""))
    assert line(told, "conversation") == "1, thread conv_1 of responses: pigeon, workspace roof, channel loft"
    assert line(told, "backlog") == "1 of 3 waiting in this conversation"
    assert line(told, "queue") == "1 of 5 waiting on pigeon"
    elsewhere = explain(see(), "pigeon", replace(SYNTHETIC, workspace="", channel="tree"))
    assert line(elsewhere, "conversation") == "none yet; it would be pigeon, workspace roof, channel tree"


def test_a_turn_before_it_that_waits_is_named(see: OpenContext, sqlite_store: SqlStore) -> None:
    (message,) = ExplainablePlatform("pigeon").dry_run(SYNTHETIC).messages
    claim = enqueue_one(sqlite_store, message, new_turn(), owner="one").claim
    assert claim is not None
    apply_write(sqlite_store, ParkTurn(claim.lease, claim.turn, "budget", 60.0, 600.0))
    told = explain(see(), "pigeon", SYNTHETIC)
    assert told.is_answered
    assert line(told, "waits").startswith(f"the turn {claim.turn.id} before it waits for: budget, since ")


def test_a_workspace_that_has_used_up_its_share_of_the_queue_is_told(see: OpenContext, sqlite_store: SqlStore) -> None:
    for user in "ab":
        enqueue_message(sqlite_store, replace(SYNTHETIC, workspace=SHARED, channel=user, user=user))
    told = explain(see(workspace=0.4), "pigeon", replace(SYNTHETIC, workspace=SHARED))
    assert verdict(told) == "It would not be answered: 2 messages are waiting from this workspace."


def test_who_has_used_up_their_share_of_the_queue_is_told(see: OpenContext, sqlite_store: SqlStore) -> None:
    for channel in "ab":
        enqueue_message(sqlite_store, replace(SYNTHETIC, channel=channel))
    told = explain(see(share=0.4), "pigeon", SYNTHETIC)
    assert verdict(told) == "It would not be answered: 2 messages are waiting from this caller."
    assert explain(see(share=0.4), "pigeon", replace(SYNTHETIC, user="bob")).is_answered


def test_nothing_is_stored_or_taken(see: OpenContext, sqlite_store: SqlStore) -> None:
    sight = see(user_turns_per_minute=1, budget_user_day="1")
    for _ in range(3):
        assert explain(sight, "pigeon", SYNTHETIC).is_answered
    assert sqlite_store.find_conversation(ConversationKey("pigeon", "roof", "loft")) is None
    assert [each.reserved for each in sight.budget_store.usage_of([budget_of(sight)])] == [0]


def test_who_is_blocked_is_named(see: OpenContext) -> None:
    told = explain(see(blocked="pigeon:ann"), "pigeon", SYNTHETIC)
    assert not told.is_answered
    assert verdict(told) == "It would not be answered: BLOCKED lists pigeon:ann."


def test_a_budget_tells_what_is_spent_and_what_is_kept_free(see: OpenContext, sqlite_store: SqlStore) -> None:
    sight = see(budget_user_day="0.5/1")
    run_turn(sqlite_store, sight.budget_store, 600_000, budget_of(sight))
    told = explain(sight, "pigeon", SYNTHETIC)
    assert told.is_answered
    assert line(told, "budget, user per day").startswith("0.60 spent, soft limit 0.50, hard limit 1.00, resets on ")
    run_turn(sqlite_store, sight.budget_store, 400_000, budget_of(sight))
    told = explain(sight, "pigeon", SYNTHETIC)
    assert verdict(told) == "It would not be answered: the budget of the user for today is used up."


def test_a_rate_tells_when_the_next_message_is_answered(see: OpenContext, sqlite_store: SqlStore) -> None:
    sight = see(user_turns_per_hour=1)
    (message,) = ExplainablePlatform("pigeon").dry_run(SYNTHETIC).messages
    (pace,) = sight.rules.rate_limits_of(message)
    assert line(explain(sight, "pigeon", SYNTHETIC), "rate") == "at most one message in an hour, one is allowed now"
    sqlite_store.take_token(pace.bucket, pace.rate, 0.0)
    told = explain(sight, "pigeon", SYNTHETIC)
    assert verdict(told).startswith("It would not be answered: the rate limit is reached; the next one is allowed in 3")


@pytest.mark.parametrize(
    ("conversations", "where"),
    [
        (["a"] * 3, "3 messages are waiting in this conversation"),
        (["b"] * 3 + ["c"] * 2, "5 messages are waiting on pigeon"),
    ],
)
def test_a_full_queue_is_named(see: OpenContext, sqlite_store: SqlStore, conversations: list[str], where: str) -> None:
    for channel in conversations:
        enqueue_message(sqlite_store, replace(SYNTHETIC, channel=channel))
    told = explain(see(), "pigeon", replace(SYNTHETIC, channel=conversations[0]))
    if where.endswith("on pigeon"):
        told = explain(see(), "pigeon", replace(SYNTHETIC, channel="d"))
    assert verdict(told) == f"It would not be answered: {where}."


@pytest.mark.parametrize(("word", "told"), [("reset", "reset the conversation"), ("stop", "stop the running turn")])
def test_what_asks_nothing_is_under_no_limit(see: OpenContext, word: str, told: str) -> None:
    explanation = explain(see(budget_user_day="0", user_turns_per_hour=1), "pigeon", replace(SYNTHETIC, text=word))
    assert explanation.is_answered
    assert told in verdict(explanation)
    assert len(explanation.lines) == 3


def test_what_opens_no_conversation_needs_one(see: OpenContext, sqlite_store: SqlStore) -> None:
    inside = replace(SYNTHETIC, topic="nest")
    assert verdict(explain(see(), "pigeon", inside)) == (
        "It would not be answered: it is answered only in an existing conversation, and there is none."
    )
    opened = Message(ConversationKey("pigeon", "roof", "loft", "nest"), "1", "Hello")
    enqueue_one(sqlite_store, opened, new_turn())
    assert explain(see(), "pigeon", inside).is_answered


def test_what_is_not_read_is_not_answered(see: OpenContext) -> None:
    assert "if it mentions the bot" in verdict(explain(see(), "pigeon", replace(SYNTHETIC, text="-"))).lower()
    assert (
        verdict(explain(see(), "pigeon", replace(SYNTHETIC, text="-Help!")))
        == "It would be answered without the assistant: Help!"
    )


def test_a_thread_of_http_is_named_by_its_id(see: OpenContext, sqlite_store: SqlStore) -> None:
    http = SyntheticMessage("Hello", user="ann")
    assert explain(see(), "http", http).is_answered
    assert not explain(see(), "http", replace(http, channel="thr_1")).is_answered
    sqlite_store.import_thread(ConversationKey("http", channel="thr_1"), ThreadId("conv_9"), "responses", ())
    for name in ("thr_1", "conv_9"):
        told = explain(see(), "http", replace(http, channel=name))
        assert line(told, "conversation") == "1, thread conv_9 of responses: http, channel thr_1"
    with pytest.raises(MalformedRequest):
        explain(see(), "http", replace(http, text=""))


def test_a_platform_that_is_off_is_said_so(see: OpenContext) -> None:
    with pytest.raises(InputError, match="Enabled: pigeon, http"):
        explain(see(), "raven", SYNTHETIC)


@pytest.mark.parametrize(("blocked", "status"), [("", 0), ("pigeon:roof", 1)])
def test_the_command_tells_it_and_says_so_by_its_status(see: OpenContext, blocked: str, status: int) -> None:
    told = CliRunner().invoke(
        command(lambda: nullcontext(see(blocked=blocked))),
        ["--platform", "pigeon", "--workspace", "roof", "--channel", "loft", "--user", "ann", "Hello"],
    )
    assert told.exit_code == status
    assert told.output.startswith("It would")
    assert "conversation  none yet" in told.output


@pytest.mark.parametrize(
    ("amount", "written"),
    [(0, "0.00"), (500_000, "0.50"), (12_000_000, "12.00"), (125, "0.000125"), (1_234_000, "1.234")],
)
def test_money_is_written_as_people_do(amount: int, written: str) -> None:
    assert format_money(amount) == written


@given(st.integers(0, 10**15))
def test_no_money_is_lost_in_writing(amount: int) -> None:
    assert round(float(format_money(amount)) * 1e6) == pytest.approx(amount, rel=1e-12)


def assistant_line(explanation: Explanation) -> str:
    (line,) = [line for line in explanation.lines if line.startswith("assistant")]
    return " ".join(line.split()[1:])


def test_it_says_which_assistant_answers_and_by_which_route(see: OpenContext, sqlite_store: SqlStore) -> None:
    route = RouteRule("pigeon", "support", channel="loft", choices=("code",))
    context = see(configured=configuration("support", "code", routes=[route]))
    there = replace(SYNTHETIC, channel="loft")
    assert assistant_line(explain(context, "pigeon", there)) == (
        "support, by the route for pigeon, channel loft; may be chosen: code"
    )
    elsewhere = explain(context, "pigeon", replace(SYNTHETIC, channel="roof"))
    assert assistant_line(elsewhere) == "default, no route leads elsewhere"
    (message,) = ExplainablePlatform("pigeon").dry_run(there).messages
    enqueue_one(sqlite_store, replace(message, message_id=new_turn(), assistant="code"), new_turn())
    chosen = assistant_line(explain(context, "pigeon", there))
    assert chosen == "code, chosen for this conversation; may be chosen: support"


@pytest.mark.parametrize(
    ("hands_over", "told"), [(True, "It would hand the conversation over"), (False, "It would be")]
)
def test_a_command_for_a_person_is_one_where_somebody_answers(see: OpenContext, told: str, *, hands_over: bool) -> None:
    explanation = explain(replace(see(), hands_over=hands_over), "pigeon", replace(SYNTHETIC, text="hand_over"))
    assert verdict(explanation).startswith(told)


def test_where_a_person_answers_the_assistant_does_not(see: OpenContext, sqlite_store: SqlStore) -> None:
    taken = Message(ConversationKey("pigeon", "roof", "loft"), "1", "/human", "ann", kind=MessageKind.HAND_OVER)
    enqueue_one(sqlite_store, taken, new_turn())
    told = explain(see(), "pigeon", SYNTHETIC)
    assert not told.is_answered
    assert "a person answers in this conversation" in verdict(told)
    assert "taken the conversation over" in line(told, "handover")
