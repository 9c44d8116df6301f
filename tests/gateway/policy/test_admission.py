"""Admission control: permissions, denials and charges."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import NoReturn

import pytest

from gateway.coordination.async_store import Journal
from gateway.domain.errors import StoreUnavailable
from gateway.domain.models import (
    Answered,
    Claim,
    ConversationKey,
    Failure,
    Kind,
    Mark,
    Message,
    Step,
    Turn,
    TurnId,
    TurnState,
    Usage,
)
from gateway.policy import admission
from gateway.policy.admission import EXHAUSTED, RATE_LIMITED, Gatekeeper, Grant, Refusal, check
from gateway.policy.prices import Price, Prices
from gateway.policy.rules import MILLION, AdmissionSettings, Rules
from gateway.ports.store import Settled
from storage.budgets import SqlLedger
from storage.database import Database
from storage.store import SqlStore
from tests.contracts.store_helpers import begin, new_turn, write

PRICES = Prices({"dove": Price(Decimal(1), Decimal(2))}, "dove")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
HALF_A_DAY = 43_200.0


def rules(**settings: object) -> Rules:
    return Rules.of(AdmissionSettings(_env_file=None, **settings))  # type: ignore[call-arg,arg-type]  # pydantic's


@dataclass
class Gate:
    """A process's admission control, and its database."""

    store: SqlStore
    ledger: SqlLedger
    keeper: Gatekeeper

    def begin(self, *, author: str = "Ada", at: float = NOON) -> Claim:
        """Claims a turn of an author, in a conversation of its own."""
        claim = begin(self.store, new_turn())
        message = replace(claim.turn.message, author=author)
        return replace(claim, turn=replace(claim.turn, message=message, started_at=at))

    async def admit(self, **asked: object) -> Grant | Refusal:
        return await self.keeper.admit(self.begin(**asked).turn)  # type: ignore[arg-type]  # passed through

    async def spend(self, cost: str, claim: Claim | None = None) -> Grant:
        """Runs a turn from admission to settlement."""
        claim = claim or self.begin()
        grant = await self.keeper.admit(claim.turn)
        assert isinstance(grant, Grant), grant
        await self.settle(claim, grant, cost)
        return grant

    async def settle(self, claim: Claim, grant: Grant, cost: str) -> None:
        amount = int(Decimal(cost) * MILLION)
        write(self.store, Settled(claim.lease, claim.turn.id, "Hi", cost=amount))
        await self.keeper.settle(grant, amount)


Open = Callable[..., Gate]


@pytest.fixture
def open_process(database_url: str) -> Iterator[Open]:
    """Returns a function that opens processes, which share a database."""
    with ExitStack() as resources:

        def open_one(*, patience: float = 30.0, **settings: object) -> Gate:
            store, database = SqlStore(database_url), Database(database_url)
            executor = resources.enter_context(ThreadPoolExecutor(2))
            resources.callback(store.close)
            resources.callback(database.close)
            ledger = SqlLedger(database)
            keeper = Gatekeeper(rules(**settings), PRICES, ledger, Journal(store, executor), patience=patience)
            return Gate(store, ledger, keeper)

        yield open_one


@pytest.fixture
async def others() -> AsyncIterator[Callable[..., asyncio.Task[Grant | Refusal]]]:
    """Returns a function that requests admission in a task, as it may have to wait."""
    tasks: list[asyncio.Task[Grant | Refusal]] = []

    def ask(gate: Gate, claim: Claim | None = None) -> asyncio.Task[Grant | Refusal]:
        tasks.append(asyncio.ensure_future(gate.keeper.admit((claim or gate.begin()).turn)))
        return tasks[-1]

    yield ask
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def refused(answer: Grant | Refusal) -> Failure:
    assert isinstance(answer, Refusal)
    return answer.failure


async def waiting(gate: Gate, number: int) -> None:
    """Waits until so many turns are queued."""
    async with asyncio.timeout(10):
        while len(gate.keeper._line._waiting) < number:  # noqa: ASYNC110  # the queue has no event to wait for
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- without rules


class Untouchable:
    """A store that must not be used."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"{name} was used")


def message(kind: Kind = Kind.ASK) -> Message:
    return Message(ConversationKey("pigeon", channel="loft"), "1", "Hello", "Ada", kind=kind)


def untouched(**settings: object) -> Gatekeeper:
    nothing = Untouchable()
    journal: Journal = nothing  # type: ignore[assignment]  # it must not be used
    ledger: SqlLedger = nothing  # type: ignore[assignment]  # likewise
    return Gatekeeper(rules(**settings), PRICES, ledger, journal, patience=1.0)


async def test_without_limits_the_database_is_not_asked() -> None:
    keeper = untouched(blocked="raven:x", budget_user_day="raven=1")
    grant = await keeper.admit(Turn(TurnId("t"), 1, 1, message(), TurnState.RUNNING))
    assert grant == Grant(TurnId("t"))
    await keeper.settle(Grant(TurnId("t")), 5)
    assert Grant(TurnId("t")).beneath("Hi") == "Hi"


@pytest.mark.parametrize("kind", [Kind.STOP, Kind.RESET])
async def test_what_asks_nothing_is_free(kind: Kind) -> None:
    keeper = untouched(user_turns_per_minute=1, budget_user_day="0")
    assert isinstance(await keeper.admit(Turn(TurnId("t"), 1, 1, message(kind), TurnState.RUNNING)), Grant)


def test_a_reply_costs_what_its_model_costs() -> None:
    keeper = untouched(blocked="pigeon:Ada")
    assert keeper.cost(Answered("Hi", Usage(10, 5), model="dove-2026")) == 20
    assert keeper.cost(Answered("Hi", Usage(10, 5))) == 20
    assert keeper.objection(message()) == "BLOCKED lists pigeon:Ada"


# ---------------------------------------------------------------- budgets


async def test_who_has_used_up_a_budget_is_told_when_it_begins_anew(open_process: Open) -> None:
    process = open_process(budget_user_day="1", budget_platform_day="100")
    await process.spend("1.2")
    failure = refused(await process.admit())
    assert failure.code == EXHAUSTED
    assert failure.sentence == "You have used up your budget for today. It resets on 22 November at 00:00 UTC."
    assert failure.retry_after == HALF_A_DAY
    assert isinstance(await process.admit(author="Bob"), Grant)
    assert isinstance(await process.admit(at=NOON + HALF_A_DAY), Grant)


async def test_of_two_budgets_the_one_that_lasts_longer_is_told(open_process: Open) -> None:
    process = open_process(budget_platform_day="1", budget_platform_month="1")
    await process.spend("2")
    assert refused(await process.admit()).sentence == (
        "The assistant's budget for this month is used up. It resets on 1 December."
    )


async def test_a_soft_limit_is_told_once_to_each_person(open_process: Open) -> None:
    process, peer = open_process(budget_user_day="0.5/2"), open_process(budget_user_day="0.5/2")
    assert (await process.spend("0.8")).note == ""
    told = await peer.spend("0.4")
    assert told.note == "You have used 40 % of your budget for today. It resets on 22 November at 00:00 UTC."
    assert told.beneath("Hi") == f"Hi\n\n_{told.note}_"
    assert (await process.spend("0.4")).note == ""
    assert (await process.spend("0.8", process.begin(author="Bob"))).note == ""
    assert (await process.spend("0.8", process.begin(author="Bob"))).note != ""


async def test_a_turn_that_is_taken_up_again_tells_again(open_process: Open) -> None:
    process, peer = open_process(budget_user_day="0.5/"), open_process(budget_user_day="0.5/")
    await process.spend("0.8")
    claim = process.begin()
    first, second = await process.keeper.admit(claim.turn), await peer.keeper.admit(claim.turn)
    assert isinstance(first, Grant)
    assert first == second
    assert first.note.startswith("You have used all of your budget")


async def test_a_soft_limit_of_the_platform_is_told_to_the_operator(
    open_process: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    process = open_process(budget_platform_day="0.5/")
    await process.spend("0.8")
    assert [(await process.spend("0.8")).note for _ in range(2)] == ["", ""]
    output = capsys.readouterr()
    assert (output.out + output.err).count("soft limit of a budget exceeded") == 1


async def test_notes_can_be_switched_off(open_process: Open) -> None:
    process = open_process(budget_user_day="0.5/", budget_notes=False)
    await process.spend("0.8")
    assert (await process.spend("0.8")).note == ""


async def test_turns_of_one_person_wait_for_each_other(
    open_process: Open, others: Callable[..., asyncio.Task[Grant | Refusal]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "FIRST_PAUSE", 20.0)
    process = open_process(budget_user_day="1")
    claims = [process.begin() for _ in range(3)]
    first = await process.keeper.admit(claims[0].turn)
    assert isinstance(first, Grant)
    second = others(process, claims[1])
    await waiting(process, 1)
    third = others(process, claims[2])
    await waiting(process, 2)
    await process.settle(claims[0], first, "0.4")
    granted = await second
    assert isinstance(granted, Grant)
    assert not third.done()
    await process.settle(claims[1], granted, "0.8")
    assert refused(await third).code == EXHAUSTED


async def test_a_turn_hears_of_one_that_another_process_has_ended(
    open_process: Open, others: Callable[..., asyncio.Task[Grant | Refusal]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "FIRST_PAUSE", 0.01)
    process, peer = open_process(budget_user_day="1"), open_process(budget_user_day="1")
    claim = peer.begin()
    grant = await peer.keeper.admit(claim.turn)
    assert isinstance(grant, Grant)
    asked = others(process)
    await waiting(process, 1)
    await peer.settle(claim, grant, "0.1")
    async with asyncio.timeout(10):
        assert isinstance(await asked, Grant)


async def test_nobody_waits_for_ever(open_process: Open) -> None:
    process = open_process(budget_user_day="1", patience=0.0)
    await process.admit()
    failure = refused(await process.admit())
    assert (failure.code, failure.retry_after) == (EXHAUSTED, 60.0)


async def test_who_waits_and_is_cancelled_leaves_the_line(
    open_process: Open, others: Callable[..., asyncio.Task[Grant | Refusal]]
) -> None:
    process = open_process(budget_user_day="1")
    await process.admit()
    asked = others(process)
    await waiting(process, 1)
    asked.cancel()
    await asyncio.wait((asked,))
    assert not process.keeper._line._waiting


async def test_what_could_not_be_charged_is_charged_later(open_process: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    process = open_process(budget_user_day="1")

    def away(*_: object) -> NoReturn:
        raise StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(process.ledger, "charge", away)
        await process.spend("1.5")
    assert refused(await process.admit()).code == EXHAUSTED


@pytest.mark.parametrize("seed", range(3))
async def test_two_processes_pass_a_persons_hard_limit_by_no_more_than_one_turn(
    open_process: Open, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the turns cost, and although one in four is not charged because its process dies first."""
    monkeypatch.setattr(admission, "FIRST_PAUSE", 0.01)
    chance = random.Random(seed)
    processes = [open_process(budget_user_day="1", budget_user_month="30", budget_platform_day="50") for _ in range(2)]
    costs = [chance.randint(1, 900_000) for _ in range(20)]
    await processes[0].spend("0.000001")  # an average cost that says nothing about the turns to come

    async def work(process: Gate, claim: Claim, cost: int, *, dies: bool) -> int:
        grant = await process.keeper.admit(claim.turn)
        if isinstance(grant, Refusal):
            return 0
        write(process.store, Settled(claim.lease, claim.turn.id, "Hi", cost=cost))
        if not dies:
            await process.keeper.settle(grant, cost)
        return cost

    at_work = [
        work(processes[number % 2], processes[number % 2].begin(), cost, dies=chance.random() < 0.25)
        for number, cost in enumerate(costs)
    ]
    spent = await asyncio.gather(*at_work)
    last = refused(await processes[0].admit())
    assert last.code == EXHAUSTED
    total = 1 + sum(spent)
    assert MILLION <= total < MILLION + max(spent)
    shares = rules(budget_user_day="1").shares(processes[0].begin().turn.message, NOON)
    assert [each.cost for each in processes[1].ledger.spent([share.budget for share in shares])] == [total]


# ---------------------------------------------------------------- rates


async def test_who_writes_too_often_is_told_when_to_come_back(open_process: Open) -> None:
    process, peer = open_process(user_turns_per_minute=3), open_process(user_turns_per_minute=3)
    assert all([isinstance(await each.admit(), Grant) for each in (process, peer, process)])
    failure = refused(await process.admit())
    assert failure.code == RATE_LIMITED
    assert failure.sentence == "That was more than 3 messages in a minute. Please try again in 20 seconds."
    assert failure.retry_after == 20.0
    assert isinstance(await process.admit(author="Bob"), Grant)


async def test_a_turn_that_is_taken_up_again_is_counted_once(open_process: Open) -> None:
    process = open_process(user_turns_per_hour=1)
    turn = process.begin().turn
    assert isinstance(await process.keeper.admit(turn), Grant)
    handed_back = replace(turn, trail=(Step(NOON, Mark.HANDED_BACK, "one"),))
    for again in (replace(turn, attempts=2), handed_back):
        assert isinstance(await process.keeper.admit(again), Grant)
    failure = refused(await process.admit())
    assert failure.sentence == "That was more than one message in an hour. Please try again in an hour."


# ---------------------------------------------------------------- the check


@pytest.mark.parametrize(
    ("model", "budget", "ok", "says"),
    [
        ("", "1", True, "prices of"),
        ("dove-2", "1", True, "1 set"),
        ("crow", "", True, "no price for crow"),
        ("crow", "1", False, "PRICES"),
    ],
)
def test_budgets_without_a_price_are_a_fault(model: str, budget: str, says: str, *, ok: bool) -> None:
    line = check(rules(budget_user_day=budget), PRICES, model)
    assert line.ok == ok
    assert says in line.detail
