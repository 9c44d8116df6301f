"""People and channels on SQLAlchemy: who has written, under which name, and what they used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    Select,
    Table,
    bindparam,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    tuple_,
)

from gateway.domain.bots import platform_of
from gateway.domain.models import TurnState
from gateway.ports.people import ChannelId, PeopleOrder, Person, PersonId, PersonUsage, Sighting
from storage.clock import clock
from storage.connecting.database import Database
from storage.dialects import PerDialect, insert_of
from storage.reporting_sql import contains
from storage.tables.column_types import SafeText
from storage.tables.operator_tables import channels, is_known, people
from storage.tables.schema import turns
from storage.upserts import upsert

P = people.c
H = channels.c
T = turns.c


def is_person(table: Table) -> ColumnElement[bool]:
    """Returns whether a row is about the person of ``person_parameters``."""
    on, person = bindparam("on", type_=SafeText), bindparam("person", type_=SafeText)
    return (table.c.platform == on) & (table.c.user_id == person)


def person_parameters(person: PersonId) -> dict[str, Any]:
    return {"on": person.platform, "person": person.user}


PERSON = (P.platform, P.user_id, P.name, P.bot, P.workspace, P.is_claimed, P.first_at, P.last_at)
_get = select(*PERSON).where(is_person(people))
_erase = delete(people).where(is_person(people)).execution_options(preserve_rowcount=True)
_unseen = delete(people).where(P.last_at < clock() - bindparam("seconds", type_=Double))
_unseen = _unseen.execution_options(preserve_rowcount=True)
_unnamed = delete(channels).where(H.named_at < clock() - bindparam("seconds", type_=Double))
_names = select(P.platform, P.user_id, P.name).where(
    tuple_(P.platform, P.user_id).in_(bindparam("wanted", expanding=True)), P.name != ""
)
_channel_names = select(H.platform, H.channel, H.name).where(
    tuple_(H.platform, H.channel).in_(bindparam("wanted", expanding=True))
)


def _sum(amount: ColumnElement[int]) -> ColumnElement[int]:
    # A sum of BIGINTs is a NUMERIC on PostgreSQL.
    return cast(func.coalesce(func.sum(amount), 0), BigInteger)


_used = (
    *(T.platform, T.author, func.count().label("turns")),
    func.sum(case((T.state == TurnState.FAILED, 1), else_=0)),
    *(_sum(T.tokens_in + T.tokens_out), _sum(T.cost).label("cost")),
)
_since = T.received_at >= bindparam("since", type_=Double)
# Ids of two platforms are hardly ever equal, so the index has no platform; the rows of others are left out afterwards.
_usage_of = (
    select(*_used)
    .where(is_known, T.author.in_(bindparam("authors", expanding=True)), _since)
    .group_by(T.platform, T.author)
)


def _top(order: PeopleOrder) -> Select[*tuple[Any, ...]]:
    most = func.count() if order is PeopleOrder.TURNS else _sum(T.cost)
    # By their length, so that SQLite reads the turns by their time: turns_author has other ones before.
    found = select(*_used).where(func.length(T.author) > 0, _since).group_by(T.platform, T.author)
    return found.order_by(most.desc(), T.author).limit(bindparam("most"))


TOP = {order: _top(order) for order in PeopleOrder}


class _Upserts:
    """Statements with ON CONFLICT, which SQLAlchemy has a separate insert construct for in each dialect."""

    def __init__(self, kind: str) -> None:
        insert = insert_of(kind)
        texts = ("platform", "user_id", "name", "bot", "workspace")
        row = {name: bindparam(name, type_=SafeText) for name in texts}
        seen = insert(people).values(
            **row, is_claimed=bindparam("is_claimed", type_=Boolean), first_at=clock(), last_at=clock()
        )
        new = seen.excluded
        kept = {"name": case((new.name == "", P.name), else_=new.name), "last_at": clock()}
        kept |= {name: new[name] for name in ("bot", "workspace", "is_claimed")}
        self.note_person = seen.on_conflict_do_update(index_elements=people.primary_key, set_=kept)
        named = insert(channels).values(
            **{name: bindparam(name, type_=SafeText) for name in ("platform", "channel", "name")}, named_at=clock()
        )
        self.note_channel = upsert(named)


_UPSERTS = PerDialect(_Upserts)


class SqlPeople:
    """Implements People."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upserts = _UPSERTS[database.kind]

    def note(self, people: Collection[Sighting], channels: Mapping[ChannelId, str]) -> None:
        # In one order, so that two processes which note the same rows do not deadlock.
        seen = [_sighting_row(each) for each in sorted(people, key=lambda each: str(each.person))]
        named = [
            {"platform": each.platform, "channel": each.channel, "name": channels[each]}
            for each in sorted(channels, key=lambda each: (each.platform, each.channel))
        ]
        with self._database.transaction() as connection:
            if seen:
                connection.execute(self._upserts.note_person, seen)
            if named:
                connection.execute(self._upserts.note_channel, named)

    def get(self, person: PersonId) -> Person | None:
        with self._database.read() as connection:
            row = connection.execute(_get, person_parameters(person)).first()
            return None if row is None else _to_person(row)

    def find(self, text: str, platform: str, *, limit: int, before: Person | None = None) -> Sequence[Person]:
        found = select(*PERSON).order_by(P.last_at.desc(), P.platform.desc(), P.user_id.desc()).limit(limit)
        if text:
            found = found.where(or_(contains(P.name, text), contains(P.user_id, text)))
        if platform:
            found = found.where(P.platform == platform)
        if before is not None:
            place = before.last_at, before.id.platform, before.id.user
            # The first condition is implied by the second, but allows the use of people_seen.
            found = found.where(P.last_at <= before.last_at, tuple_(P.last_at, P.platform, P.user_id) < place)
        return [_to_person(row) for row in self._database.fetch_all(found)]

    def usage_of(self, people: Collection[PersonId], since: float) -> Mapping[PersonId, PersonUsage]:
        wanted = set(people)
        authors = [each.user for each in people]
        rows = self._database.fetch_all(_usage_of, authors=authors, since=since) if wanted else ()
        return {person: used for person, used in _usage(rows).items() if person in wanted}

    def top(self, order: PeopleOrder, since: float, limit: int) -> Mapping[PersonId, PersonUsage]:
        return _usage(self._database.fetch_all(TOP[order], since=since, most=limit))

    def names_of(self, people: Collection[PersonId]) -> Mapping[PersonId, str]:
        wanted = sorted({(each.platform, each.user) for each in people})
        rows = self._database.fetch_all(_names, wanted=wanted) if wanted else ()
        return {PersonId(platform, user): name for platform, user, name in rows}

    def channel_names(self, channels: Collection[ChannelId]) -> Mapping[ChannelId, str]:
        wanted = sorted({(each.platform, each.channel) for each in channels})
        rows = self._database.fetch_all(_channel_names, wanted=wanted) if wanted else ()
        return {ChannelId(platform, channel): name for platform, channel, name in rows}

    def erase(self, person: PersonId) -> bool:
        with self._database.single_write() as connection:
            return connection.execute(_erase, person_parameters(person)).rowcount > 0

    def erase_older_than(self, age_seconds: float) -> int:
        with self._database.transaction() as connection:
            connection.execute(_unnamed, {"seconds": age_seconds})
            return connection.execute(_unseen, {"seconds": age_seconds}).rowcount


def _sighting_row(seen: Sighting) -> dict[str, Any]:
    return {
        "platform": seen.person.platform,
        "user_id": seen.person.user,
        "name": seen.name,
        "bot": seen.bot or seen.person.platform,
        "workspace": seen.workspace,
        "is_claimed": seen.is_claimed,
    }


def _to_person(row: Sequence[Any]) -> Person:
    return Person(PersonId(row[0], row[1]), *row[2:])


def _usage(rows: Sequence[Sequence[Any]]) -> dict[PersonId, PersonUsage]:
    """Sums up rows of people, one for each bot."""
    found: dict[PersonId, PersonUsage] = {}
    for bot, author, *counts in rows:
        person = PersonId(platform_of(bot), author)
        before = found.get(person, PersonUsage())
        more = PersonUsage(*map(int, counts))
        found[person] = PersonUsage(
            before.turns + more.turns,
            before.failed + more.failed,
            before.tokens + more.tokens,
            before.cost + more.cost,
        )
    return found
