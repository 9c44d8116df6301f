"""Names of people, their groups, apps and channels, and the locales of people, as Slack knows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from adapters.base.expiring_cache import ExpiringCache
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.slack.api_client import SlackClient
from adapters.slack.reply_target import Workspace
from gateway import logs
from gateway.domain.context import clean_name
from gateway.domain.errors import DeliveryError
from gateway.ports.platform import DeliveryContext

MOST_KNOWN = 10_000
KNOWN_SECONDS = 3600.0
UNKNOWN_SECONDS = 600.0
"""After Slack refused to tell a name."""
MOST_ASKED = 30
"""Names that are asked for at once."""
MAX_WAIT = 1.0
"""Seconds to wait for the rate limit: a turn can do without a name."""

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lookup:
    """How to ask for a name."""

    method: str
    argument: str
    """Of the method, for the id; empty for one that names all of a workspace."""
    read: Callable[[Fields], DirectoryEntry]
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """What Slack tells of a person, a group of them, an app or a channel; empty: nothing."""

    name: str = ""
    """As ``clean_name`` returns it."""
    locale: str = ""
    """The language of a person's client, such as ``pt-BR``."""


def _person(answer: Fields) -> DirectoryEntry:
    user = object_in(answer, "user")
    profile = object_in(user, "profile")
    names = (text_in(profile, "display_name"), text_in(profile, "real_name"), text_in(user, "real_name"))
    name = next(filter(None, map(clean_name, (*names, text_in(user, "name")))), "")
    return DirectoryEntry(name, text_in(user, "locale"))


def _named(kind: str, answer: Fields) -> DirectoryEntry:
    return DirectoryEntry(clean_name(text_in(object_in(answer, kind), "name")))


def _group(group: str, answer: Fields) -> DirectoryEntry:
    """Finds a user group among all of the workspace, by what people type to mention it."""
    handles = [text_in(one, "handle") for one in objects_in(answer, "usergroups") if one.get("id") == group]
    return DirectoryEntry(clean_name("".join(handles[:1])))


PERSON = Lookup("users.info", "user", _person, {"include_locale": "true"})
APP = Lookup("bots.info", "bot", partial(_named, "bot"))
CHANNEL = Lookup("conversations.info", "channel", partial(_named, "channel"))


def lookup_for(mark: str) -> Lookup:
    """Returns how to ask for the name behind a mark: @ or #, and an id."""
    if mark.startswith("@S"):
        return Lookup("usergroups.list", "", partial(_group, mark[1:]))
    return CHANNEL if mark.startswith("#") else APP if mark.startswith("@B") else PERSON


class Directory:
    """Asks Slack for names and locales, and remembers them for a time. Used on the worker's loop only."""

    def __init__(self, client: SlackClient) -> None:
        self._client = client
        self._entries: ExpiringCache[DirectoryEntry] = ExpiringCache(MOST_KNOWN)
        self._asking: dict[tuple[str, str], asyncio.Lock] = {}
        """So that what is wanted by several at once is asked once."""

    async def names(self, marks: Iterable[str], workspace: Workspace, delivery: DeliveryContext) -> dict[str, str]:
        """Returns the names by their marks; those that Slack does not tell are left out. Raises LeaseLost."""
        names, unknown = self._remembered(list(dict.fromkeys(marks))[:MOST_ASKED], workspace.team)
        if unknown:  # a task for each of the others would cost a turn as much as a short request
            found = await asyncio.gather(*(self._entry(mark, workspace, delivery) for mark in unknown))
            names |= {mark: entry.name for mark, entry in zip(unknown, found, strict=True) if entry.name}
        return names

    def known_names(self, marks: Iterable[str], team: str) -> dict[str, str] | None:
        """Returns the same if Slack need not be asked for any, else None. No I/O."""
        names, unknown = self._remembered(marks, team)
        return None if unknown else names

    def _remembered(self, marks: Iterable[str], team: str) -> tuple[dict[str, str], list[str]]:
        """Returns the names that are remembered, by their marks, and the marks of which nothing is."""
        names, unknown = dict[str, str](), list[str]()
        for mark in marks:
            known = self._entries.get((team, mark))
            if known is None:
                unknown.append(mark)
            elif known.name:
                names[mark] = known.name
        return names, unknown

    async def locale(self, user: str, workspace: Workspace, delivery: DeliveryContext) -> str:
        """Returns the locale of a person; "" if Slack does not tell it, and for apps. Raises LeaseLost."""
        if not user or lookup_for(f"@{user}") is not PERSON:
            return ""
        return (await self._entry(f"@{user}", workspace, delivery)).locale

    async def _entry(self, mark: str, workspace: Workspace, delivery: DeliveryContext) -> DirectoryEntry:
        key = (workspace.team, mark)
        known = self._entries.get(key)
        if known is not None:
            return known
        try:
            async with self._asking.setdefault(key, asyncio.Lock()):
                known = self._entries.get(key)
                if known is None:
                    known, seconds = await self._ask(mark, workspace, delivery)
                    self._entries.set(key, known, seconds)
                return known
        finally:
            self._asking.pop(key, None)

    async def _ask(self, mark: str, workspace: Workspace, delivery: DeliveryContext) -> tuple[DirectoryEntry, float]:
        lookup = lookup_for(mark)
        which = {lookup.argument: mark[1:]} if lookup.argument else {"team_id": workspace.team}
        args = {**which, **lookup.options}
        try:
            answer = await self._client.call(
                lookup.method, args, workspace=workspace, delivery=delivery, max_wait=MAX_WAIT
            )
        except DeliveryError as exc:
            log.info("name not told", mark=mark, error=str(exc))
            return DirectoryEntry(), UNKNOWN_SECONDS if exc.retry_after is None else exc.retry_after
        return lookup.read(answer), KNOWN_SECONDS
