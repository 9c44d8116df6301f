"""Admission control: permissions, denials and charges."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import NoReturn

import pytest

from gateway.coordination.async_store import AsyncStore
from gateway.domain.audit import AuditEntry, AuditEvent
from gateway.domain.conversations import Claim
from gateway.domain.errors import StoreUnavailable
from gateway.domain.models import (
    ConversationKey,
    Failure,
    Message,
    MessageKind,
    Parking,
    Turn,
    TurnId,
    TurnState,
    Usage,
)
from gateway.policy.admission import (
    BUDGET,
    BUDGET_EXHAUSTED,
    RATE_LIMITED,
    AdmissionControl,
    Denial,
    Grant,
    Wait,
    check_budgets,
)
from gateway.policy.prices import Price, Prices
from gateway.policy.rules import MILLION, AdmissionSettings, Rules
from gateway.ports.budgets import AttemptUsage, Expense, ModelUsage
from gateway.ports.leased_writes import ParkTurn, RecordOutcome
from storage.budgets import SqlBudgetStore
from storage.connecting.database import Database
from storage.store import SqlStore
from tests.contracts.store_helpers import PLATFORM, apply_write, enqueue_and_claim, new_turn
from tests.settings import settings_of

PRICES = Prices({"dove": Price(Decimal(1), Decimal(2))}, "dove")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
HALF_A_DAY = 43_200.0


def rules(**settings: object) -> Rules:
    return Rules.from_settings(settings_of(AdmissionSettings, **settings))


@dataclass
class AdmissionProcess:
    """A process's admission control, and its database."""

    store: SqlStore
    budget_store: SqlBudgetStore
    admission: AdmissionControl

    def begin(self, *, author: str = "Ada", at: float = NOON) -> Claim:
        """Claims a turn of an author, in a conversation of its own."""
        claim = enqueue_and_claim(self.store, new_turn())
        message = replace(claim.turn.message, author=author)
        return replace(claim, turn=replace(claim.turn, message=message, started_at=at))

    async def admit(self, **asked: object) -> Grant | Denial | Wait:
        return await self.admission.admit(self.begin(**asked).turn)  # type: ignore[arg-type]  # passed through

    async def spend(self, cost: str, claim: Claim | None = None) -> Grant:
        """Runs a turn from admission to settlement."""
        claim = claim or self.begin()
        grant = await self.admission.admit(claim.turn)
        assert isinstance(grant, Grant), grant
        await self.settle(claim, grant, cost)
        return grant

    async def settle(self, claim: Claim, grant: Grant, cost: str) -> None:
        amount = int(Decimal(cost) * MILLION)
        apply_write(self.store, RecordOutcome(claim.lease, claim.turn, "Hi", cost=amount))
        await self.admission.settle(grant, amount)


OpenProcess = Callable[..., AdmissionProcess]


@pytest.fixture
def open_process(database_url: str) -> Iterator[OpenProcess]:
    """Returns a function that opens processes, which share a database."""
    with ExitStack() as resources:

        def open_one(**settings: object) -> AdmissionProcess:
            store, database = SqlStore(database_url), Database(database_url)
            executor = resources.enter_context(ThreadPoolExecutor(2))
            resources.callback(store.close)
            resources.callback(database.close)
            ledger = SqlBudgetStore(database)
            keeper = AdmissionControl(rules(**settings), PRICES, ledger, AsyncStore(store, executor), max_wait=30.0)
            return AdmissionProcess(store, ledger, keeper)

        yield open_one


def failure_of(answer: Grant | Denial | Wait) -> Failure:
    assert isinstance(answer, Denial)
    return answer.failure


def woken(turn: Turn, after: float, *, longest: float = 30.0) -> Turn:
    """Returns a turn that was parked for its budget and claimed again."""
    return replace(turn, parking=Parking(BUDGET, "key", NOON, NOON + longest, NOON + after))


# ---------------------------------------------------------------- without rules


class ForbiddenStore:
    """A store that must not be used."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"{name} was used")


def message(kind: MessageKind = MessageKind.PROMPT) -> Message:
    return Message(ConversationKey("pigeon", channel="loft"), "1", "Hello", "Ada", kind=kind)


def without_store(*, prices: Prices = PRICES, **settings: object) -> AdmissionControl:
    nothing = ForbiddenStore()
    journal: AsyncStore = nothing  # type: ignore[assignment]  # it must not be used
    ledger: SqlBudgetStore = nothing  # type: ignore[assignment]  # likewise
    return AdmissionControl(rules(**settings), prices, ledger, journal, max_wait=1.0)


async def test_without_limits_the_database_is_not_asked() -> None:
    keeper = without_store(blocked="raven:x", budget_user_day="raven=1")
    grant = await keeper.admit(Turn(TurnId("t"), 1, 1, message(), TurnState.RUNNING))
    assert grant == Grant(TurnId("t"))
    await keeper.settle(Grant(TurnId("t")), 5)
    assert Grant(TurnId("t")).with_notice("Hi") == "Hi"


@pytest.mark.parametrize("kind", [MessageKind.STOP, MessageKind.RESET])
async def test_what_asks_nothing_is_free(kind: MessageKind) -> None:
    keeper = without_store(user_turns_per_minute=1, budget_user_day="0")
    assert isinstance(await keeper.admit(Turn(TurnId("t"), 1, 1, message(kind), TurnState.RUNNING)), Grant)


def test_a_reply_costs_what_its_model_costs() -> None:
    keeper = without_store(blocked="pigeon:Ada")
    assert keeper.expense_of(AttemptUsage((ModelUsage("dove-2026", Usage(10, 5)),))).cost == 20
    assert keeper.expense_of(AttemptUsage((ModelUsage("", Usage(10, 5)),))).cost == 20
    assert keeper.denial_reason(message()) == "BLOCKED lists pigeon:Ada"


def test_a_turn_costs_what_all_its_models_cost_and_is_named_after_the_one_that_used_most() -> None:
    used = AttemptUsage((ModelUsage("dove", Usage(10, 5)), ModelUsage("ear", Usage(100, 1))), is_estimate=True)
    prices = Prices({"dove": Price(Decimal(1), Decimal(2)), "ear": Price(Decimal(3), Decimal(0))}, "dove")
    assert without_store(prices=prices).expense_of(used) == Expense(Usage(110, 6), "ear", 320, is_estimate=True)


# ---------------------------------------------------------------- budgets


async def test_who_has_used_up_a_budget_is_told_when_it_begins_anew(open_process: OpenProcess) -> None:
    process = open_process(budget_user_day="1", budget_platform_day="100")
    await process.spend("1.2")
    failure = failure_of(await process.admit())
    assert failure.code == BUDGET_EXHAUSTED
    assert failure.user_message == "You have used up your budget for today. It resets on 22 November at 00:00 UTC."
    assert failure.retry_after == HALF_A_DAY
    assert isinstance(await process.admit(author="Bob"), Grant)
    assert isinstance(await process.admit(at=NOON + HALF_A_DAY), Grant)


async def test_of_two_budgets_the_one_that_lasts_longer_is_told(open_process: OpenProcess) -> None:
    process = open_process(budget_platform_day="1", budget_platform_month="1")
    await process.spend("2")
    assert failure_of(await process.admit()).user_message == (
        "The assistant's budget for this month is used up. It resets on 1 December."
    )


async def test_a_soft_limit_is_told_once_to_each_person(open_process: OpenProcess) -> None:
    process, peer = open_process(budget_user_day="0.5/2"), open_process(budget_user_day="0.5/2")
    assert (await process.spend("0.8")).notice == ""
    told = await peer.spend("0.4")
    assert told.notice == "You have used 40 % of your budget for today. It resets on 22 November at 00:00 UTC."
    assert told.with_notice("Hi") == f"Hi\n\n_{told.notice}_"
    assert (await process.spend("0.4")).notice == ""
    assert (await process.spend("0.8", process.begin(author="Bob"))).notice == ""
    assert (await process.spend("0.8", process.begin(author="Bob"))).notice != ""


async def test_a_turn_that_is_taken_up_again_tells_again(open_process: OpenProcess) -> None:
    process, peer = open_process(budget_user_day="0.5/"), open_process(budget_user_day="0.5/")
    await process.spend("0.8")
    claim = process.begin()
    first, second = await process.admission.admit(claim.turn), await peer.admission.admit(claim.turn)
    assert isinstance(first, Grant)
    assert first == second
    assert first.notice.startswith("You have used 100 % of your budget")


async def test_a_soft_limit_of_the_platform_is_told_to_the_operator(
    open_process: OpenProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    process = open_process(budget_platform_day="0.5/")
    await process.spend("0.8")
    assert [(await process.spend("0.8")).notice for _ in range(2)] == ["", ""]
    output = capsys.readouterr()
    assert (output.out + output.err).count("soft limit of a budget exceeded") == 1


async def test_notes_can_be_switched_off(open_process: OpenProcess) -> None:
    process = open_process(budget_user_day="0.5/", budget_notes=False)
    await process.spend("0.8")
    assert (await process.spend("0.8")).notice == ""


async def test_turns_of_one_person_wait_for_each_other(open_process: OpenProcess) -> None:
    process, peer = open_process(budget_user_day="1"), open_process(budget_user_day="1")
    claims = [process.begin() for _ in range(3)]
    first = await process.admission.admit(claims[0].turn)
    assert isinstance(first, Grant)
    assert await peer.admission.admit(claims[1].turn) == Wait(
        "budget day user pigeon workspace Ada 2026-11-21", 0.5, 30.0
    )
    await process.settle(claims[0], first, "0.4")
    granted = await peer.admission.admit(woken(claims[1].turn, 1.0))
    assert isinstance(granted, Grant)
    again = await process.admission.admit(woken(claims[2].turn, 4.0))
    assert isinstance(again, Wait)
    assert again.wake_seconds == 4.0
    await peer.settle(claims[1], granted, "0.8")
    assert failure_of(await process.admission.admit(claims[2].turn)).code == BUDGET_EXHAUSTED


async def test_whose_turn_ends_wakes_the_next_that_waits_for_its_budget(open_process: OpenProcess) -> None:
    process = open_process(budget_user_day="1")
    woken_count = 0

    def on_woken() -> None:
        nonlocal woken_count
        woken_count += 1

    process.admission.on_woken = on_woken
    first, second = process.begin(), process.begin()
    grant, wait = await process.admission.admit(first.turn), await process.admission.admit(second.turn)
    assert isinstance(grant, Grant)
    assert isinstance(wait, Wait)
    apply_write(process.store, ParkTurn(second.lease, second.turn, BUDGET, 60.0, 60.0, wait.key))
    assert process.store.claim("one", [PLATFORM], 10) == ()
    before = woken_count
    await process.settle(first, grant, "0.4")
    assert woken_count == before + 1
    assert [claim.turn.id for claim in process.store.claim("two", [PLATFORM], 10)] == [second.turn.id]


async def test_whose_budget_is_used_up_wakes_the_next(open_process: OpenProcess) -> None:
    process = open_process(budget_user_day="1")
    first, *others = [process.begin() for _ in range(3)]
    grant = await process.admission.admit(first.turn)
    waits = [await process.admission.admit(claim.turn) for claim in others]
    assert isinstance(grant, Grant)
    for claim, wait in zip(others, waits, strict=True):
        assert isinstance(wait, Wait)
        apply_write(process.store, ParkTurn(claim.lease, claim.turn, BUDGET, 60.0, 60.0, wait.key))
    await process.settle(first, grant, "1.4")
    for waiting in others:
        (claim,) = process.store.claim("one", [PLATFORM], 10)
        assert claim.turn.id == waiting.turn.id
        denied = replace(waiting.turn, parking=claim.turn.parking)
        assert failure_of(await process.admission.admit(denied)).code == BUDGET_EXHAUSTED


async def test_a_turn_that_waited_long_for_something_else_waits_for_its_budget(open_process: OpenProcess) -> None:
    process = open_process(budget_user_day="1")
    await process.admit()
    approved = replace(process.begin().turn, parking=Parking("approval", "key", NOON, NOON + 30, NOON + 30))
    wait = await process.admission.admit(approved)
    assert isinstance(wait, Wait)
    assert wait.wake_seconds == 0.5


async def test_nobody_waits_for_ever(open_process: OpenProcess) -> None:
    process = open_process(budget_user_day="1")
    await process.admit()
    waiting = process.begin().turn
    assert isinstance(await process.admission.admit(woken(waiting, 29.0)), Wait)
    failure = failure_of(await process.admission.admit(woken(waiting, 30.0)))
    assert (failure.code, failure.retry_after) == (BUDGET_EXHAUSTED, 60.0)


async def test_what_could_not_be_charged_is_charged_later(
    open_process: OpenProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = open_process(budget_user_day="1")

    def away(*_: object) -> NoReturn:
        raise StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(process.budget_store, "charge", away)
        await process.spend("1.5")
    assert failure_of(await process.admit()).code == BUDGET_EXHAUSTED


@pytest.mark.parametrize("seed", range(3))
async def test_two_processes_pass_a_persons_hard_limit_by_no_more_than_one_turn(
    open_process: OpenProcess, seed: int
) -> None:
    """Whatever the turns cost, and although one in four is not charged because its process dies first."""
    chance = random.Random(seed)
    processes = [open_process(budget_user_day="1", budget_user_month="30", budget_platform_day="50") for _ in range(2)]
    costs = [chance.randint(1, 900_000) for _ in range(20)]
    await processes[0].spend("0.000001")  # an average cost that says nothing about the turns to come

    async def work(process: AdmissionProcess, claim: Claim, cost: int, *, dies: bool) -> int:
        while isinstance(grant := await process.admission.admit(claim.turn), Wait):  # noqa: ASYNC110  # in place of parking
            await asyncio.sleep(0.01)
        if isinstance(grant, Denial):
            return 0
        apply_write(process.store, RecordOutcome(claim.lease, claim.turn, "Hi", cost=cost))
        if not dies:
            await process.admission.settle(grant, cost)
        return cost

    at_work = [
        work(processes[number % 2], processes[number % 2].begin(), cost, dies=chance.random() < 0.25)
        for number, cost in enumerate(costs)
    ]
    spent = await asyncio.gather(*at_work)
    last = failure_of(await processes[0].admit())
    assert last.code == BUDGET_EXHAUSTED
    total = 1 + sum(spent)
    assert MILLION <= total < MILLION + max(spent)
    shares = rules(budget_user_day="1").applicable_budgets(processes[0].begin().turn.message, NOON)
    assert [each.cost for each in processes[1].budget_store.usage_of([share.budget for share in shares])] == [total]


# ---------------------------------------------------------------- rates


async def test_who_writes_too_often_is_told_when_to_come_back(open_process: OpenProcess) -> None:
    process, peer = open_process(user_turns_per_minute=3), open_process(user_turns_per_minute=3)
    assert all([isinstance(await each.admit(), Grant) for each in (process, peer, process)])
    failure = failure_of(await process.admit())
    assert failure.code == RATE_LIMITED
    assert failure.user_message == "That was more than 3 messages in a minute. Please try again in 20 seconds."
    assert failure.retry_after == 20.0
    assert isinstance(await process.admit(author="Bob"), Grant)


async def test_a_turn_that_is_taken_up_again_is_counted_once(open_process: OpenProcess) -> None:
    process = open_process(user_turns_per_hour=1)
    turn = process.begin().turn
    assert isinstance(await process.admission.admit(turn), Grant)
    handed_back = replace(turn, audit_log=(AuditEntry(NOON, AuditEvent.RELEASED, "one"),))
    for again in (replace(turn, attempts=2), handed_back):
        assert isinstance(await process.admission.admit(again), Grant)
    failure = failure_of(await process.admit())
    assert failure.user_message == "That was more than one message in an hour. Please try again in an hour."


# ---------------------------------------------------------------- the check


@pytest.mark.parametrize(
    ("models", "budget", "ok", "says"),
    [
        ((), "1", True, "prices of"),
        (("dove-2",), "1", True, "1 set"),
        (("crow",), "", True, "no price for crow"),
        (("crow",), "1", False, "PRICES"),
        (("dove-2", "crow", "owl"), "1", False, "no price for crow, owl"),
    ],
)
def test_budgets_without_a_price_are_a_fault(models: Sequence[str], budget: str, says: str, *, ok: bool) -> None:
    line = check_budgets(rules(budget_user_day=budget), PRICES, models)
    assert line.ok == ok
    assert says in line.detail
