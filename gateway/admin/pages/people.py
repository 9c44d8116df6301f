"""The pages of people: who writes, what they use and may use; one person, to block and to unblock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import flask
from flask.typing import ResponseReturnValue

from gateway import operations
from gateway.admin import search_params
from gateway.admin.context import AdminContext
from gateway.admin.filters import DAY
from gateway.admin.names import names_in_list
from gateway.admin.pages.budgets import left_of
from gateway.admin.sessions import actor
from gateway.admin.ttl_cache import TtlCache
from gateway.domain.bots import platform_of
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import ConversationKey, Message
from gateway.policy.rules import ApplicableBudget, BudgetScope, UserRateLimit
from gateway.ports.budgets import BudgetUsage
from gateway.ports.people import PeopleOrder, Person, PersonId, PersonUsage
from gateway.ports.reporting import TurnFilter

DAYS = 30
"""For which the pages count what people use."""
TOP_TTL_SECONDS = 60.0
CONVERSATIONS = 20
"""On the page of a person."""
MAX_REASON_CHARS = 500
FIELDS = ("text", "platform", "order")
ORDERS = {"": "last seen", PeopleOrder.COST.value: "cost", PeopleOrder.TURNS.value: "turns"}
NOBODY = "This address names no person: it needs a platform and a user."


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """A budget of a person, and what is left of it."""

    budget: ApplicableBudget
    usage: BudgetUsage

    @property
    def left(self) -> int | None:
        """Returns ``left_of`` the budget."""
        return left_of(self.usage)


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person in the list."""

    id: PersonId
    person: Person | None
    """None: not seen for longer than the messages are kept."""
    usage: PersonUsage
    budgets: Sequence[BudgetLeft]
    is_blocked: bool

    @property
    def left(self) -> int | None:
        """Returns what the person may still spend, in millionths; None: as much as they want."""
        return min((each.left for each in self.budgets if each.left is not None), default=None)


class PeoplePages:
    def __init__(self, context: AdminContext) -> None:
        self._context = context
        self._people = context.store.people
        self._top_cache: TtlCache[Mapping[PersonId, PersonUsage]] = TtlCache()

    # ------------------------------------------------------------ the list

    def list(self) -> str:
        fields = search_params.fields(FIELDS)
        order = fields["order"] if fields["order"] in ORDERS else ""
        rows = self._top(PeopleOrder(order)) if order else self._found(fields)
        last, is_full = rows[-1].person if rows else None, len(rows) == search_params.PAGE_SIZE
        return flask.render_template(
            "admin/people.html",
            rows=rows,
            fields=fields,
            order=order,
            orders=ORDERS,
            days=DAYS,
            platforms=sorted({platform_of(each) for each in self._context.platforms}),
            limits=[_written(each) for each in self._rate_limits()],
            older=search_params.query(fields, before=_cursor(last)) if last and is_full and not order else None,
        )

    def _found(self, fields: Mapping[str, str]) -> Sequence[PersonRow]:
        found = self._people.find(
            fields["text"], fields["platform"], limit=search_params.PAGE_SIZE, before=_requested_person()
        )
        usage = self._people.usage_of([each.id for each in found], self._since())
        return self._rows([(each.id, each) for each in found], usage)

    def _top(self, order: PeopleOrder) -> Sequence[PersonRow]:
        usage = self._top_cache.get(
            order, TOP_TTL_SECONDS, lambda: self._people.top(order, self._since(), search_params.PAGE_SIZE)
        )
        return self._rows([(person, self._people.get(person)) for person in usage], usage)

    def _rows(
        self, people: Sequence[tuple[PersonId, Person | None]], usage: Mapping[PersonId, PersonUsage]
    ) -> Sequence[PersonRow]:
        blocked = {block.person for block in self._context.store.blocks.listed()} if people else set()
        budgets = self._budgets_of([person for _, person in people if person])
        return [
            PersonRow(name, person, usage.get(name, PersonUsage()), budgets.get(name, ()), name in blocked)
            for name, person in people
        ]

    def _since(self) -> float:
        return self._context.store.now() - DAYS * DAY

    # ------------------------------------------------------------ one person

    def show(self) -> str:
        name = _requested_id()
        person, most = self._people.get(name), search_params.PAGE_SIZE
        theirs = TurnFilter(author=name.user, bots_of=name.platform)
        found = self._context.store.find_conversations(theirs, limit=CONVERSATIONS)
        turns = self._context.store.find_turns(
            theirs, limit=most, before=search_params.cursor_turn(self._context.store)
        )
        budgets = self._budgets_of([person]).get(name, ()) if person else ()
        return flask.render_template(
            "admin/person.html",
            name=name,
            person=person,
            block=self._context.store.blocks.get(name),
            usage=self._people.usage_of([name], self._since()).get(name, PersonUsage()),
            days=DAYS,
            budgets=budgets,
            limits=[_written(each) for each in self._rate_limits(person)],
            lines=found,
            names=names_in_list(self._people, found),
            turns=turns,
            older=search_params.query(_parameters(name), before=turns[-1].id) if len(turns) == most else None,
        )

    def block(self) -> ResponseReturnValue:
        name = _requested_id()
        reason = flask.request.form.get("reason", "").strip()[:MAX_REASON_CHARS]
        operations.block_person(self._context.store, actor.actor(), name, reason)
        return flask.redirect(_address(name), 303)

    def unblock(self) -> ResponseReturnValue:
        name = _requested_id()
        operations.unblock_person(self._context.store, actor.actor(), name)
        return flask.redirect(_address(name), 303)

    # ------------------------------------------------------------ limits and budgets

    def _rate_limits(self, person: Person | None = None) -> Sequence[UserRateLimit]:
        return self._context.rules.rate_limits_of(
            _as_message(person) if person else Message(ConversationKey(""), "", "")
        )

    def _budgets_of(self, people: Collection[Person]) -> Mapping[PersonId, Sequence[BudgetLeft]]:
        """Returns the budgets of people that have any, in the workspace where they wrote last."""
        now = self._context.store.now()
        applicable = {
            person.id: [
                each
                for each in self._context.rules.applicable_budgets(_as_message(person), now)
                if each.scope is BudgetScope.USER
            ]
            for person in people
        }
        flat = [each for budgets in applicable.values() for each in budgets]
        used = iter(self._context.budget_store.usage_of([each.budget for each in flat]) if flat else ())
        return {name: [BudgetLeft(each, next(used)) for each in budgets] for name, budgets in applicable.items()}


def _as_message(person: Person) -> Message:
    """Returns a message as the person might write it, by which rules decide."""
    key = ConversationKey(person.bot or person.id.platform, person.workspace)
    return Message(key, "", "", person.id.user, caller="a caller" if person.is_claimed else "")


def _written(limit: UserRateLimit) -> str:
    return f"{limit.max_turns} in {'an hour' if limit.seconds > 60 else 'a minute'}"  # noqa: PLR2004  # seconds


def _requested_id() -> PersonId:
    """Returns whom the address names. Raises MalformedRequest."""
    fields = search_params.fields(("platform", "user"))
    if not all(fields.values()):
        raise MalformedRequest(NOBODY)
    return PersonId(fields["platform"], fields["user"])


def _parameters(name: PersonId) -> dict[str, str]:
    return {"platform": name.platform, "user": name.user}


def _address(name: PersonId) -> str:
    return flask.url_for(".person", platform=name.platform, user=name.user)


def _cursor(person: Person) -> str:
    return search_params.cursor_at(person.last_at, person.id.platform, person.id.user)


def _requested_person() -> Person | None:
    """Returns the last person of the previous page with the time they had there, or None on the first page."""
    place = search_params.cursor_place()
    if place is None:
        return None
    last_at, *name = place
    return Person(PersonId(*name), "", "", "", is_claimed=False, first_at=0.0, last_at=last_at)


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    pages = PeoplePages(context)
    blueprint.add_url_rule("/people", "people", pages.list)
    blueprint.add_url_rule("/person", "person", pages.show)
    blueprint.add_url_rule("/person/block", "block_person", pages.block, methods=["POST"])
    blueprint.add_url_rule("/person/unblock", "unblock_person", pages.unblock, methods=["POST"])
