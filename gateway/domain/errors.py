"""The error hierarchy. An error carries what the caller should do: give up, or retry after ``retry_after`` seconds.

GatewayError
+ SettingsError                a setting is wrong; names the variable and what to do
+ InputError                   the sender must change something
| + Unauthenticated            the request does not prove who sent it
| + Blocked                    the operator does not admit the sender
| + MalformedRequest           the request cannot be parsed; ``code`` says why
| + ThreadNotFound             no such thread for this sender
| + TurnNotFound               no such turn for this sender
| + Conflict                   contradicts the current state; ``code`` says why
+ Overloaded                   too much work is queued: retry after ``retry_after`` seconds
+ StoreUnavailable             the database cannot be reached; nothing was stored
+ LeaseLost                    another process holds the conversation now; stop working on it
+ NotForUs                     the message turned out not to be for the bot: end its turn without a word
+ DeliveryError                the platform did not accept a reply; permanent unless ``retry_after`` is set
+ AssistantError               the assistant did not answer
  + AssistantRateLimited       rejected before a run started: retry after ``retry_after`` seconds
  + ThreadBusy                 another run is active in the thread: retry after ``retry_after`` seconds
  + AssistantUnavailable       no answer, but a run may have started: check the thread before retrying
  | + AnswerLost               the assistant worked, and its answer did not arrive: each retry costs again
  + ThreadMissing              the backend does not know the thread: create a new one
  + AssistantTimedOut          no answer within the time limit of a turn
  + AssistantRefused           permanent: tell the person
    + AssistantMisconfigured   permanent until the operator changes a setting
"""

from __future__ import annotations

from typing import ClassVar

from gateway.domain.models import Usage
from gateway.domain.sentences import Sentence, sentence


class GatewayError(Exception):
    """An error of the gateway. ``str()`` of it may be shown to the sender.

    By default it is the first line of the class docstring; the same as a Sentence where it is meant for people, too.
    """

    code: str = "internal"
    default_message: ClassVar[str] = ""

    def __init__(self, message: str = "", *, code: str | None = None, retry_after: float | None = None) -> None:
        self.message = message or self.default_message or (self.__doc__ or "").partition("\n")[0]
        """A Sentence, where it can be said in other languages."""
        super().__init__(self.message)
        if code is not None:
            self.code = code
        self.retry_after = retry_after


class SettingsError(GatewayError):
    """The settings are wrong."""

    code = "settings"


class InputError(GatewayError):
    """This request cannot be accepted."""

    code = "invalid"


class Unauthenticated(InputError):
    """The request does not prove who sent it."""

    code = "unauthorized"


class Blocked(InputError):
    """You may not use this assistant here. The operator of this gateway decides who may."""

    code = "blocked"
    default_message = sentence("You may not use this assistant here. The operator of this gateway decides who may.")


class MalformedRequest(InputError):
    """The request cannot be parsed."""

    code = "unreadable"


class ThreadNotFound(InputError):
    """There is no such thread."""

    code = "thread_not_found"


class TurnNotFound(InputError):
    """There is no such turn."""

    code = "turn_not_found"


class Conflict(InputError):
    """The request conflicts with the current state."""

    code = "conflict"


class Overloaded(GatewayError):
    """The gateway has too much work queued. Try again later."""

    code = "overloaded"
    default_message = sentence("The gateway has too much work queued. Try again later.")


class StoreUnavailable(GatewayError):
    """The database cannot be reached. Try again later."""

    code = "store_unavailable"
    default_message = sentence("The database cannot be reached. Try again later.")


class LeaseLost(GatewayError):
    """Another process holds the lease on this conversation now."""

    code = "lease_lost"


class NotForUs(GatewayError):
    """The message is not for the bot."""

    code = "not_for_us"


class DeliveryError(GatewayError):
    """The platform did not accept the reply."""

    code = "undeliverable"


class AssistantError(GatewayError):
    """The assistant did not answer.

    ``str()`` is for the operator; ``user_message`` is shown to the person.
    ``usage``: what the server counted in the call of ``run`` or ``resume`` that ended so, all its requests together;
    None if it did not say. ``model``: the model that counts, as named by the server. ``partial_text``: the text that
    was generated but not yielded as TextDelta; it is counted where ``usage`` has to be estimated.
    """

    code = "assistant_failed"
    default_user_message: ClassVar[Sentence] = sentence("The assistant could not answer this. Please try again.")

    def __init__(
        self,
        message: str = "",
        *,
        user_message: Sentence | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        usage: Usage | None = None,
        model: str = "",
        partial_text: str = "",
    ) -> None:
        super().__init__(message, code=code, retry_after=retry_after)
        self.user_message = user_message or self.default_user_message
        self.usage = usage
        self.model = model
        self.partial_text = partial_text


class AssistantRateLimited(AssistantError):
    """The assistant's rate limit is reached."""

    code = "rate_limited"
    default_user_message = sentence("The assistant is very busy right now. Please try again in a minute.")


class ThreadBusy(AssistantError):
    """Another run holds the thread."""

    code = "thread_busy"
    default_user_message = sentence(
        "The assistant is still busy with an earlier message. Please try again in a minute."
    )


class AssistantUnavailable(AssistantError):
    """The assistant cannot be reached, or closed the connection early."""

    code = "unavailable"
    default_user_message = sentence("The assistant cannot be reached right now. Please try again in a minute.")


class AnswerLost(AssistantUnavailable):
    """The assistant began to answer, and the answer did not arrive."""

    default_user_message = sentence("The assistant's answer did not arrive completely. Please try again in a minute.")


class ThreadMissing(AssistantError):
    """The backend does not know the thread."""

    code = "thread_lost"


class AssistantTimedOut(AssistantError):
    """The assistant took too long."""

    code = "timed_out"
    default_user_message = sentence(
        "The assistant took too long to answer. Please try again, perhaps with a shorter question."
    )


class AssistantRefused(AssistantError):
    """The assistant will not answer this message; a retry does not help."""

    code = "refused"
    default_user_message = sentence("The assistant could not answer this message.")


class TooManyRounds(AssistantRefused):
    """The assistant may run no more tools in this turn: its run waits for outputs, and its thread takes no other."""

    code = "too_many_rounds"
    default_user_message = sentence(
        "The assistant used its tools too often without finding an answer. Please ask in another way."
    )


class AssistantMisconfigured(AssistantRefused):
    """The backend rejects its configuration."""

    code = "misconfigured"
    default_user_message = sentence("The assistant is not set up correctly. Please tell the person who runs it.")
