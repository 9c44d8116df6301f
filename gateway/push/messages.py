"""Makes messages of what is pushed, for the platforms of this process."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from hashlib import sha256

from gateway.domain.errors import Conflict, MalformedRequest
from gateway.domain.models import PUSHED, Message, Turn
from gateway.policy.routes import AssistantRouter
from gateway.ports.platform import Adapter, Addressable
from gateway.ports.schedules import Push, Schedule
from gateway.push.request import LATE_SECONDS, PushOrder

MAX_SCHEDULES = 1000
"""Of one owner, that will be due again."""


class PushMessages:
    """Addresses what is pushed. No I/O."""

    def __init__(self, adapters: Sequence[Adapter], router: AssistantRouter) -> None:
        self._adapters = {adapter.name: adapter for adapter in adapters if isinstance(adapter, Addressable)}
        self.router = router

    @property
    def platforms(self) -> Collection[str]:
        """The platforms to which something can be pushed."""
        return self._adapters.keys()

    def message(self, push: Push, owner: str, name: str) -> Message:
        """Returns the message of a push. ``name``: the same one again is the same message.

        Raises MalformedRequest when there is no such platform, channel or assistant.
        """
        place = push.place
        adapter = self._adapters.get(place.platform)
        if adapter is None:
            known = ", ".join(sorted(self._adapters)) or "none"
            raise MalformedRequest(
                f"Nothing can be pushed to the platform {place.platform!r}. Those set up here that take it: {known}.",
                code="invalid_field",
            )
        found, assistant = adapter.destination(place), self._assistant(push.assistant)
        return Message(
            *(found.key, f"push:{name}", push.prompt),
            address=found.address,
            caller=owner,
            given_reply=push.text,
            assistant=assistant,
            allowed_assistants=(assistant,) if assistant else (),
        )

    def _assistant(self, asked: str) -> str:
        """Returns the name of who is asked, "" if the place decides. Whoever may push may ask any assistant.

        Raises MalformedRequest.
        """
        named = self.router.named(asked)
        if asked and not named:
            known = ", ".join(self.router.every_name())
            raise MalformedRequest(
                f"There is no assistant {asked!r}. Those set up here: {known}.", code="invalid_field"
            )
        return named

    def schedule(self, order: PushOrder, owner: str, name: str, now: float) -> Schedule:
        """Returns the schedule of an order that has a time. Raises MalformedRequest, as ``message`` does."""
        self.message(order.push, owner, name)
        if order.first_at is None or order.first_at < now - LATE_SECONDS:
            raise MalformedRequest("`at` has passed.", code="invalid_field")
        return Schedule(f"sch_{name}", owner, order.push, order.every, order.time_zone, order.first_at)


def owner_name(who: str) -> str:
    """Returns ``Message.caller`` for what somebody pushes. ``who``: such as a key's digest."""
    return f"{PUSHED}{who}"


def name_for(owner: str, idempotency_key: str | None) -> str:
    """Returns a name for a push: the same one for the same key of the same owner."""
    if idempotency_key is None:
        return secrets.token_hex(12)
    return sha256(f"{owner} {idempotency_key}".encode()).hexdigest()[:32]


def check_same_turn(message: Message, recorded: Turn) -> None:
    """Raises Conflict when a turn was recorded under the name of another push."""
    said = recorded.reply if recorded.is_pushed_text else recorded.message.text
    wanted = message.given_reply or message.text
    same = (recorded.message.address, said) == (message.address, wanted) and recorded.message.key == message.key
    same = same and message.assistant in ("", recorded.assistant)
    if recorded.erased_at is None and not same:
        raise _conflict()


def check_same_schedule(wanted: Schedule, stored: Schedule) -> None:
    """Raises Conflict when a schedule was stored under the name of another one."""
    if (wanted.push, wanted.every, wanted.time_zone) != (stored.push, stored.every, stored.time_zone):
        raise _conflict()


def _conflict() -> Conflict:
    explanation = "This Idempotency-Key was used with another body. Use a new key for a new message."
    return Conflict(explanation, code="idempotency_conflict")
