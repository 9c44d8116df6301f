"""Everything that can go wrong, as one tree. An error carries the decision it asks for.

GatewayError
+ SettingsError            the environment is wrong; says which variable and what to do
+ InputError               the sender must change something
| + Unverified             the sender is not who the platform says
| + Blocked                the operator does not let the sender in
| + Unreadable             we cannot read this; ``code`` says in what way
| + ThreadNotFound         no such thread for this sender
| + TurnNotFound           no such turn for this sender
| + Conflict               it contradicts what is already there; ``code`` says in what way
+ Overloaded               not now: come back after ``retry_after`` seconds
+ StoreUnavailable         the database cannot be reached; nothing was stored
+ LeaseLost                another process holds the conversation now; drop what you do
+ DeliveryError            the platform did not take a reply; permanent unless ``retry_after`` is set
+ AssistantError           the assistant did not answer
  + RateLimited            refused before anything began: ask again after ``retry_after`` seconds
  + ThreadBusy             another run holds the thread, nothing began: ask again after ``retry_after`` seconds
  + Unavailable            no answer, and something may have begun: look before asking again
  + ThreadLost             the backend does not know the thread: open a new one
  + TimedOut               no answer within the time that a turn has
  + Refused                permanent: tell the person
    + Misconfigured        permanent until the operator changes a setting
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """Something the gateway knows how to name. ``str()`` of it may be shown to whoever caused it."""

    code: str = "internal"

    def __init__(self, message: str = "", *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").partition("\n")[0])
        if code is not None:
            self.code = code
        self.retry_after = retry_after


class SettingsError(GatewayError):
    """The settings are wrong."""

    code = "settings"


class InputError(GatewayError):
    """This cannot be taken as it is."""

    code = "invalid"


class Unverified(InputError):
    """The request does not prove who sent it."""

    code = "unauthorized"


class Blocked(InputError):
    """Nobody answers you here. The operator of this gateway decides who is answered."""

    code = "blocked"


class Unreadable(InputError):
    """The request is not in a form we can read."""

    code = "unreadable"


class ThreadNotFound(InputError):
    """There is no such thread."""

    code = "thread_not_found"


class TurnNotFound(InputError):
    """There is no such turn."""

    code = "turn_not_found"


class Conflict(InputError):
    """This contradicts what is already there."""

    code = "conflict"


class Overloaded(GatewayError):
    """The gateway has as much work as it can hold. Try again later."""

    code = "overloaded"


class StoreUnavailable(GatewayError):
    """The database cannot be reached. Try again later."""

    code = "store_unavailable"


class LeaseLost(GatewayError):
    """Another process works on this conversation now."""

    code = "lease_lost"


class DeliveryError(GatewayError):
    """The platform did not take the reply."""

    code = "undeliverable"


class AssistantError(GatewayError):
    """The assistant did not answer.

    ``str()`` is for the operator; ``sentence`` is what the person is told.
    """

    code = "assistant_failed"
    default_sentence: ClassVar[str] = "The assistant could not answer this. Please try again."

    def __init__(
        self,
        message: str = "",
        *,
        sentence: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, retry_after=retry_after)
        self.sentence = sentence or self.default_sentence


class RateLimited(AssistantError):
    """The assistant's rate limit is reached."""

    code = "rate_limited"
    default_sentence = "The assistant is very busy right now. Please try again in a minute."


class ThreadBusy(AssistantError):
    """Another run holds the thread."""

    code = "thread_busy"
    default_sentence = "The assistant is still busy with an earlier message. Please try again in a minute."


class Unavailable(AssistantError):
    """The assistant cannot be reached, or broke off."""

    code = "unavailable"
    default_sentence = "The assistant cannot be reached right now. Please try again in a minute."


class ThreadLost(AssistantError):
    """The backend does not know the thread."""

    code = "thread_lost"


class TimedOut(AssistantError):
    """The assistant took too long."""

    code = "timed_out"
    default_sentence = "The assistant took too long to answer. Please try again, perhaps with a shorter question."


class Refused(AssistantError):
    """The assistant will not answer this, however often it is asked."""

    code = "refused"
    default_sentence = "The assistant could not answer this message."


class Misconfigured(Refused):
    """The backend does not accept how it is set up."""

    code = "misconfigured"
    default_sentence = "The assistant is not set up correctly. Please tell the person who runs it."
