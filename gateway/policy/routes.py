"""Which assistant answers a message: the most specific route decides, and people where it lets them. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from gateway.configuration import Configuration, CurrentConfiguration, RouteRule
from gateway.domain.bots import is_named, platform_of
from gateway.domain.conversations import Conversation
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import ConversationKey, Message, MessageKind
from gateway.ports.enqueue import AssistantRoute
from gateway.ports.inbox import OfferedAssistant

UNKNOWN_ASSISTANT = "There is no assistant {asked!r} for you here. You may ask: {names}."
ASKED_CHARS = 40


def find_route(routes: Iterable[RouteRule], key: ConversationKey) -> RouteRule | None:
    """Returns the route of a conversation: the most specific one that matches, of equal ones the first; None: none.

    A route that names the topic is more specific than any that does not, then the channel counts, then the
    workspace, then the bot. A route for a platform is one for all its bots.
    """
    matching = [each for each in routes if _matches(each, key)]
    return max(matching, key=_specificity, default=None)  # the first of several maxima


def _matches(route: RouteRule, key: ConversationKey) -> bool:
    wanted = ((route.workspace, key.workspace), (route.channel, key.channel), (route.topic, key.topic))
    here = route.platform in (key.platform, platform_of(key.platform))
    return here and all(part in ("", has) for part, has in wanted)


def _specificity(route: RouteRule) -> tuple[bool, bool, bool, bool]:
    return bool(route.topic), bool(route.channel), bool(route.workspace), is_named(route.platform)


def described(route: RouteRule | None) -> str:
    """Returns a route in words, for the operator."""
    if route is None:
        return "no route leads elsewhere"
    parts = {"workspace": route.workspace, "channel": route.channel, "topic": route.topic}
    place = ", ".join([route.platform, *(f"{name} {part}" for name, part in parts.items() if part)])
    return f"by the route for {place}"


class AssistantRouter:
    """Routes messages by the configuration that is in force. Any thread may call it."""

    def __init__(self, current: CurrentConfiguration, free_platforms: Collection[str] = ()) -> None:
        """``free_platforms``: those whose senders may ask for any assistant where no route says otherwise."""
        self._current = current
        self._free_platforms = frozenset(free_platforms)

    def place(self, message: Message) -> tuple[Message, AssistantRoute]:
        """Returns a message with the name of the assistant that it asks for, and its route.

        A CHOOSE becomes a PROMPT where it is no command: where there is one assistant only, and for mere words that
        name none. Raises MalformedRequest (``unknown_assistant``) for a PROMPT that asks for one it may not ask.
        """
        configuration = self._current.get()
        names = self._names(configuration, message.key, message.allowed_assistants)
        route = AssistantRoute(names[0], frozenset(names))
        if message.kind is MessageKind.CHOOSE:
            return self._as_meant(configuration, message, names), route
        if not message.assistant:
            return message, route
        found = configuration.find(message.assistant)
        if found is None or found.name not in names:
            asked = message.assistant[:ASKED_CHARS]
            text = UNKNOWN_ASSISTANT.format(asked=asked, names=", ".join(names))
            raise MalformedRequest(text, code="unknown_assistant")
        return message if message.assistant == found.name else replace(message, assistant=found.name), route

    def names(self, key: ConversationKey) -> Sequence[str]:
        """Returns the names of those who may answer in a conversation; the first is who does if nobody chose."""
        return self._names(self._current.get(), key, ())

    def offered(self, key: ConversationKey, allowed: Sequence[str]) -> Sequence[OfferedAssistant]:
        """Returns those that messages of a conversation may ask for, the first of them by default."""
        configuration = self._current.get()
        known = filter(None, map(configuration.assistants.get, self._names(configuration, key, allowed)))
        return [OfferedAssistant(each.name, each.settings.assistant_name) for each in known]

    def next_for(self, conversation: Conversation, allowed: Sequence[str]) -> str:
        """Returns the name of the assistant of the conversation's next message if that asks for none."""
        names = self._names(self._current.get(), conversation.key, allowed)
        return AssistantRoute(names[0], frozenset(names)).decide("", conversation.chosen)

    def named(self, name: str) -> str:
        """Returns the name of the assistant with this name or alias; "" for an empty one, or if there is none."""
        found = self._current.get().find(name) if name else None
        return "" if found is None else found.name

    def every_name(self) -> Sequence[str]:
        """Returns the names of all assistants."""
        return tuple(self._current.get().assistants)

    def asked_by(self, command: Message) -> tuple[str, str]:
        """Returns the name that a CHOOSE gives, and the name of the assistant that it may choose by that, or ""."""
        configuration = self._current.get()
        asked = asked_name(command.text)
        return asked, _chosen(configuration, asked, self._names(configuration, command.key, ()))

    def route_of(self, key: ConversationKey) -> RouteRule | None:
        return find_route(self._current.get().routes, key)

    def _names(self, configuration: Configuration, key: ConversationKey, allowed: Sequence[str]) -> Sequence[str]:
        if allowed:
            return allowed
        route = find_route(configuration.routes, key)
        if route is not None:
            return tuple(dict.fromkeys((route.assistant, *route.choices)))
        everybody = configuration.assistants if key.platform in self._free_platforms else ()
        return tuple(dict.fromkeys((configuration.assistant_of_bot(key.platform), *everybody)))

    @staticmethod
    def _as_meant(configuration: Configuration, message: Message, names: Sequence[str]) -> Message:
        asked = asked_name(message.text)
        chosen = _chosen(configuration, asked, names)
        is_command = message.text.startswith("/") or chosen or (not asked and len(names) > 1)
        if len(configuration.assistants) == 1 or not is_command:
            return replace(message, kind=MessageKind.PROMPT)
        return replace(message, assistant=chosen)


def asked_name(command: str) -> str:
    """Returns the name behind a command such as ``/assistant support``; "" if there is none."""
    _, _, name = command.strip().partition(" ")
    return name.strip().rstrip(".!")


def _chosen(configuration: Configuration, asked: str, names: Collection[str]) -> str:
    found = configuration.find(asked) if asked else None
    return found.name if found is not None and found.name in names else ""
